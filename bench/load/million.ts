/**
 * A million waiting messages: `node dist/bench/load/million.js [--count N]`.
 *
 * Fills a spool with messages whose next attempt is a day away, starts a server on it, and tells how long it took until
 * the scheduler held them all and what they cost in memory: resident anonymous memory of the process with them, against
 * the same server with an empty spool. (Pages of the spool's map count as file memory and are shown apart.)
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Filling, fillSpool } from "../../test/support/fill-spool.js";

const DOMAINS = 1000;
const main = new URL("../../src/cli/main.js", import.meta.url).pathname;

const countAt = process.argv.indexOf("--count");
const count = countAt < 0 ? 1_000_000 : Number(process.argv[countAt + 1]);

/** A message of one of many domains, due in a day. */
function filling(at: number): Filling {
  const queue = `d${at % DOMAINS}.example`;
  return { recipient: `recipient-${at}@${queue}`, queue, due: false };
}

interface Memory {
  readonly anonymousKb: number;
  readonly fileKb: number;
}

function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
  return { anonymousKb: field("RssAnon") + field("RssShmem"), fileKb: field("RssFile") };
}

async function held(port: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(/^message_count (\d+)/m.exec(text)?.[1] ?? 0);
}

async function run(dir: string, expected: number): Promise<{ seconds: number; listening: number; memory: Memory }> {
  const ready = join(dir, "ready.json");
  rmSync(ready, { force: true });
  const start = performance.now();
  const server: ChildProcess = spawn(
    process.execPath,
    ["--expose-gc", main, "start", "--config", join(dir, "hikyaku.toml"), "--ready-file", ready],
    {
      stdio: ["ignore", "ignore", "inherit"],
    },
  );
  while (!existsSync(ready)) await new Promise((resolve) => setTimeout(resolve, 10));
  const listening = (performance.now() - start) / 1000;
  const { pid, http } = JSON.parse(readFileSync(ready, "utf8")) as { pid: number; http: { port: number }[] };
  const port = http[0]!.port;
  while ((await held(port)) < expected) await new Promise((resolve) => setTimeout(resolve, 20));
  const seconds = (performance.now() - start) / 1000;
  // What the load left behind is collected in a moment; what stays is what waiting messages cost.
  await new Promise((resolve) => setTimeout(resolve, 5000));
  const memory = memoryOf(pid);
  server.kill("SIGTERM");
  await once(server, "exit");
  return { seconds, listening, memory };
}

const dir = mkdtempSync(join(tmpdir(), "hikyaku-million-"));
try {
  writeFileSync(
    join(dir, "hikyaku.toml"),
    `[node]
data_dir = "./var"
[threads]
workers = 1
[delivery]
mode = "live"
[spool]
min_free_space = "1%"
[[smtp_listener]]
listen = "127.0.0.1:0"
[[http_listener]]
listen = "127.0.0.1:0"
`,
  );
  const empty = await run(dir, 0);
  process.stdout.write(
    `empty spool: ready in ${empty.seconds.toFixed(2)} s, ${empty.memory.anonymousKb} kB anonymous, ${empty.memory.fileKb} kB file\n`,
  );
  await fillSpool(join(dir, "var", "spool"), count, filling);
  const full = await run(dir, count);
  process.stdout.write(
    `${count} waiting messages: listening in ${full.listening.toFixed(2)} s, all loaded in ${full.seconds.toFixed(2)} s, ` +
      `${full.memory.anonymousKb} kB anonymous, ${full.memory.fileKb} kB file\n`,
  );
  const bytes = ((full.memory.anonymousKb - empty.memory.anonymousKb) * 1024) / count;
  process.stdout.write(`${bytes.toFixed(1)} bytes per waiting message\n`);
} finally {
  rmSync(dir, { recursive: true, force: true });
}
