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
import type { ShardIndex } from "../../src/base/brands.js";
import { SystemClock } from "../../src/base/clock.js";
import { Shard } from "../../src/worker/spool/shard.js";

const DAY_MS = 86_400_000;
const RECIPIENTS_PER_BATCH = 500;
const DOMAINS = 1000;
const main = new URL("../../src/cli/main.js", import.meta.url).pathname;

const countAt = process.argv.indexOf("--count");
const count = countAt < 0 ? 1_000_000 : Number(process.argv[countAt + 1]);

async function fill(spoolPath: string): Promise<void> {
  const clock = new SystemClock();
  const shard = Shard.open({
    spoolPath,
    shard: 0 as ShardIndex,
    durability: "committed",
    clock,
    events: {
      onRemoved() {},
      onBatch() {},
      onWritten() {},
      onQuarantined() {},
      onFault: (_shard, fault) => Promise.reject(fault),
    },
    recentBytes: 0,
    syncIntervalMs: 60_000,
    check: false,
  });
  const content = Buffer.from("Subject: waiting\r\n\r\nThis message waits.\r\n");
  const reception = {
    protocol: "ESMTP",
    ehlo: "client.example",
    receivedFrom: "127.0.0.1:4711",
    receivedVia: "127.0.0.1:2025",
    sessionId: "00000000-0000-4000-8000-000000000000",
    durability: "committed" as const,
  };
  for (let made = 0; made < count; ) {
    await new Promise<void>((resolve, reject) => {
      let open = RECIPIENTS_PER_BATCH;
      for (let i = 0; i < RECIPIENTS_PER_BATCH; i++, made++) {
        const domain = `d${made % DOMAINS}.example`;
        const transaction = {
          firstKey: shard.newKeys(1),
          content,
          sender: "sender@x.example",
          recipients: [{ recipient: `recipient-${made}@${domain}`, queue: domain }],
          reception,
          meta: null,
          flags: 0,
          dueMs: clock.steadyMs() + DAY_MS,
          forceFlush: false,
          hold: null,
          deferred: false,
        };
        shard.storeTransaction(transaction, {
          onStored: (fault) => {
            if (fault !== null) reject(fault);
            else if (--open === 0) resolve();
          },
        });
      }
    });
  }
  await shard.close();
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
  await fill(join(dir, "var", "spool"));
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
