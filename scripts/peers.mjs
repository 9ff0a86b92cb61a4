// The real programs that tests talk to, from the system's packages: installed when that is possible here, otherwise the
// tests that need them say so (and fail when CI=true).
import { spawnSync } from "node:child_process";

/** Debian package by the program that tests look for. */
export const PEERS = {
  "smtp-source": "postfix",
  swaks: "swaks",
  strace: "strace",
  openssl: "openssl",
  nsd: "nsd",
  unbound: "unbound",
  "ldns-signzone": "ldnsutils",
};

function has(program) {
  return spawnSync("sh", ["-c", `PATH="$PATH:/usr/sbin:/sbin" command -v ${program}`]).status === 0;
}

export function installPeers() {
  const missing = Object.entries(PEERS).filter(([program]) => !has(program));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(([, name]) => name))];
  if (process.getuid?.() !== 0 || !has("apt-get")) {
    process.stdout.write(`setup: tests want ${packages.join(", ")}; install them with your system's package manager\n`);
    return;
  }
  process.stdout.write(`setup: installing ${packages.join(", ")} for the tests\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const quiet = { env, stdio: ["ignore", "ignore", "inherit"] };
  spawnSync("apt-get", ["update", "-qq"], quiet);
  const done = spawnSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...packages], quiet);
  if (done.status !== 0) process.stdout.write(`setup: could not install ${packages.join(", ")}\n`);
}
