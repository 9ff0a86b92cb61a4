// `npm test`: set-up, peers from the system's packages, lint, every test; ends with a plain `N passed, N failed` line.
// `npm test -- test/ring test/dns/mx.test.ts` runs parts; paths are those of the sources.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { installPeers, launchers } from "./peers.mjs";
import { must, root, setup } from "./setup.mjs";

const args = process.argv.slice(2);
setup();
installPeers();
if (args.length === 0)
  must(process.execPath, [
    join(root, "node_modules", "@biomejs", "biome", "bin", "biome"),
    "ci",
    "--log-level=warn",
    root,
  ]);

function find(path) {
  if (!existsSync(path)) return [];
  if (!statSync(path).isDirectory()) return path.endsWith(".test.js") ? [path] : [];
  return readdirSync(path)
    .sort()
    .flatMap((name) => find(join(path, name)));
}

const wanted = args.length === 0 ? ["test"] : args;
const files = wanted.flatMap((name) =>
  find(resolve(root, "dist", relative(root, resolve(root, name)).replace(/\.ts$/, ".js"))),
);
if (files.length === 0) {
  process.stderr.write(`test: no test file under ${wanted.join(", ")}\n`);
  process.exit(1);
}
const nofile = spawnSync("sh", ["-c", "ulimit -Hn"], { encoding: "utf8" }).stdout.trim();
const path = [process.env.PATH, "/usr/sbin", "/sbin", ...launchers()].join(":");
const totals = new Map();

/** Runs test files, adds up their totals, and says whether all was well. */
function run(paths) {
  const node = [process.execPath, "--test", "--test-reporter=spec", "--test-timeout=300000", ...paths];
  const child = spawn("sh", ["-c", `ulimit -n ${nofile}; exec "$@"`, "sh", ...node], {
    cwd: root,
    env: { ...process.env, PATH: path },
    stdio: ["ignore", "pipe", "inherit"],
  });
  child.stdout.setEncoding("utf8");
  let rest = "";
  child.stdout.on("data", (chunk) => {
    process.stdout.write(chunk);
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      // The totals come before the details of what failed, which may be long.
      const total = /^\u2139 (pass|fail|cancelled) (\d+)$/.exec(line);
      if (total !== null) totals.set(total[1], (totals.get(total[1]) ?? 0) + Number(total[2]));
    }
  });
  return new Promise((resolve) => child.on("close", (code) => resolve(code === 0)));
}

// Tests that measure (`*.alone.test.ts`) come last, one after the other, with nothing beside them.
const alone = files.filter((file) => file.endsWith(".alone.test.js"));
const together = files.filter((file) => !alone.includes(file));
let good = together.length === 0 || (await run(together));
for (const file of alone) good = (await run([file])) && good;

const count = (word) => totals.get(word) ?? 0;
const failed = count("fail") + count("cancelled");
process.stdout.write(`\n${count("pass")} passed, ${failed} failed\n`);
process.exit(good && failed === 0 ? 0 : 1);
