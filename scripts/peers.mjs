// The real programs that tests talk to, from the system's packages; `peers.json` lists them. Most are unpacked into a
// folder of this project's own (nothing is configured, no service starts, mail servers that exclude each other as
// packages get on, and nobody has to be root); a few need more and are installed, when that is possible here. Tests that
// need what is missing say so (and fail when CI=true).
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const list = JSON.parse(readFileSync(fileURLToPath(new URL("peers.json", import.meta.url)), "utf8"));
const root = process.getuid?.() === 0;

/** Where programs are unpacked, a folder each; test/support/peers/program.ts looks there. */
export const unpacked = root
  ? "/var/cache/hikyaku-peers"
  : join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "hikyaku-peers");

/** A mirror may hang; set-up may not. All of it has this long; what is not here by then is said to be missing. */
const LIMIT_MS = 150_000;
const end = performance.now() + LIMIT_MS;
const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" };
const say = (line) => process.stdout.write(`setup: ${line}\n`);

function has(program) {
  return spawnSync("sh", ["-c", `PATH="$PATH:/usr/sbin:/sbin" command -v ${program}`]).status === 0;
}

function run(command, args, options = {}) {
  return spawnSync(command, args, {
    env,
    encoding: "utf8",
    timeout: Math.max(1000, Math.ceil(end - performance.now())),
    stdio: ["ignore", "pipe", "pipe"],
    ...options,
  });
}

let updated = false;
/** Fetches the lists of packages, once, where that is allowed. */
function update() {
  if (updated || !root) return false;
  updated = true;
  return run("apt-get", ["update", "-qq"]).status === 0;
}

/** The packages that these need and that the system does not have, themselves included; null when the lists lack them. */
function missingWith(packages) {
  const plan = () =>
    run("apt-get", ["install", "--simulate", "--reinstall", "--no-install-recommends", "-qq", ...packages]);
  let found = plan();
  if (found.status !== 0 && update()) found = plan();
  if (found.status !== 0) return null;
  return [...found.stdout.matchAll(/^Inst (\S+)/gm)].map((match) => match[1]);
}

/** Writes `launch/NAME` for each program of a tree that will lie at `home`: runs it with the libraries beside it. */
function writeLaunchers(tree, home) {
  const list = (folder) => (existsSync(join(tree, folder)) ? readdirSync(join(tree, folder)) : []);
  const libraries = ["lib", "usr/lib"].flatMap((lib) =>
    list(lib)
      .filter((name) => name.includes("-linux-"))
      .map((name) => join(home, lib, name)),
  );
  mkdirSync(join(tree, "launch"), { mode: 0o755 });
  for (const bin of ["usr/sbin", "usr/bin", "sbin", "bin"]) {
    for (const name of list(bin)) {
      const script = `#!/bin/sh\nLD_LIBRARY_PATH="${libraries.join(":")}" exec "${join(home, bin, name)}" "$@"\n`;
      writeFileSync(join(tree, "launch", name), script, { mode: 0o755 });
    }
  }
}

/** The folders of launchers, to be put after the system's on a path. */
export function launchers() {
  return list.map((peer) => join(unpacked, peer.program, "launch")).filter((folder) => existsSync(folder));
}

/** Unpacks a program and the libraries that the system lacks; says why not. */
function unpack({ program, packages }) {
  // Libraries, and what a program was split into; never the C library, which has to be the system's.
  const needed = missingWith(packages)?.filter(
    (name) => packages.includes(name) || (/^lib.*\d|-base$/.test(name) && !name.startsWith("libc6")),
  );
  if (needed === undefined) return `no package ${packages.join(" or ")} in the system's lists`;
  mkdirSync(unpacked, { recursive: true });
  const dir = mkdtempSync(join(unpacked, ".new-"));
  try {
    const sandbox = root ? ["-o", "APT::Sandbox::User=root"] : [];
    const download = () => run("apt-get", [...sandbox, "download", "-qq", ...needed], { cwd: dir });
    let done = download();
    // An old list names packages that the mirror has no more.
    if (done.status !== 0 && update()) done = download();
    if (done.status !== 0) return done.stderr.trim().split("\n").at(-1);
    for (const name of readdirSync(dir).filter((one) => one.endsWith(".deb"))) {
      const opened = run("dpkg-deb", ["-x", name, "tree"], { cwd: dir });
      if (opened.status !== 0) return opened.stderr.trim();
    }
    run("chmod", ["-R", "u-s,g-s,go+rX", join(dir, "tree")]);
    writeLaunchers(join(dir, "tree"), join(unpacked, program));
    try {
      renameSync(join(dir, "tree"), join(unpacked, program));
    } catch (error) {
      // Somebody else's set-up was quicker.
      if (!existsSync(join(unpacked, program))) return error.message;
    }
    return null;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const POLICY = "/usr/sbin/policy-rc.d";

/** Installs packages without their services being started. */
function install(packages) {
  const policy = !existsSync(POLICY);
  if (policy) writeFileSync(POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    const go = () => run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...packages]);
    let done = go();
    if (done.status !== 0 && update()) done = go();
    return done.status === 0 ? null : done.stderr.trim().split("\n").at(-1);
  } finally {
    if (policy) rmSync(POLICY, { force: true });
  }
}

export function installPeers() {
  const toInstall = list.filter((peer) => peer.how === "install" && !has(peer.program));
  const toUnpack = list.filter((peer) => peer.how === "unpack" && !existsSync(join(unpacked, peer.program, "launch")));
  const names = (peers) => [...new Set(peers.flatMap((peer) => peer.packages))];
  if (toInstall.length + toUnpack.length === 0) return;
  if (!has("apt-get")) {
    const wanted = [...toInstall, ...toUnpack.filter((peer) => !has(peer.program))];
    if (wanted.length > 0)
      say(`tests want ${names(wanted).join(", ")}; install them with your system's package manager`);
    return;
  }
  if (toInstall.length > 0 && !root) say(`tests want ${names(toInstall).join(", ")}, which only root can install`);
  else if (toInstall.length > 0) {
    say(`installing ${names(toInstall).join(", ")} for the tests`);
    const why = install(names(toInstall));
    if (why !== null) say(`could not install them: ${why}`);
  }
  if (toUnpack.length > 0) say(`unpacking ${names(toUnpack).join(", ")} into ${unpacked} for the tests`);
  for (const peer of toUnpack) {
    const why = unpack(peer);
    if (why !== null) say(`could not unpack ${peer.program}: ${why}`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) installPeers();
