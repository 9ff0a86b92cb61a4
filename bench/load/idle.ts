/**
 * What an idle connection out costs: `node dist/bench/load/idle.js [--connections N]`.
 *
 * A server sends so many messages at once to a sink that takes its time, so that each has a connection of its own, which
 * then stays open without a message. Against it: the same messages over a hundred connections. Both live in this machine's
 * memory, the sink in this process; only the server's anonymous memory counts.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { DEFAULT_PROFILE } from "../../src/sink/options.js";
import { startSink } from "../../src/sink/sink.js";
import { connectAndGreet } from "../../test/support/smtp-client.js";

const FEW = 100;
const main = new URL("../../src/cli/main.js", import.meta.url).pathname;
const { values } = parseArgs({ options: { connections: { type: "string", default: "10000" } } });
const connections = Number(values.connections);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function anonymousKb(pid: number): number {
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
}

async function metric(port: number, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)`, "m").exec(text)?.[1] ?? 0);
}

/** Returns the server's memory in kB with so many connections open and idle. */
async function run(limit: number): Promise<{ open: number; kb: number }> {
  const dir = mkdtempSync(join(tmpdir(), "hikyaku-idle-"));
  const latencyMs = limit === FEW ? 0 : 10_000;
  const profile = { ...DEFAULT_PROFILE, latencyMs, maxConnections: 20_000 };
  const sink = await startSink({ host: "127.0.0.1", port: 0, profile });
  const ready = join(dir, "ready.json");
  writeFileSync(
    join(dir, "shaping.toml"),
    `["default"]
connection_limit = ${limit}
max_deliveries_per_connection = 1000000
max_recipients_per_batch = 1
enable_rset = false
max_ready = 100000
idle_timeout = "1h"
`,
  );
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
[shaping]
files = ["shaping.toml"]
[[queue]]
protocol = { smtp = { mx_list = ["127.0.0.1:${sink.port}"] } }
`,
  );
  const server: ChildProcess = spawn(
    process.execPath,
    [main, "start", "--config", join(dir, "hikyaku.toml"), "--ready-file", ready],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  try {
    while (!existsSync(ready)) await pause(20);
    const { pid, http, smtp } = JSON.parse(readFileSync(ready, "utf8")) as {
      pid: number;
      http: { port: number }[];
      smtp: { port: number }[];
    };
    const port = http[0]?.port ?? 0;
    const client = await connectAndGreet(smtp[0]?.port ?? 0);
    for (let sent = 0; sent < connections; sent += 500) {
      const to = Array.from({ length: 500 }, (_, i) => `r${sent + i}@example.com`);
      await client.send("a@b.example", to, "Subject: x\r\n\r\nText");
    }
    await client.end();
    while ((await metric(port, "message_count")) > 0) await pause(200);
    // What the load left behind is collected in a while; what stays is what open connections cost.
    await pause(15_000);
    return { open: sink.stats().open, kb: anonymousKb(pid) };
  } finally {
    server.kill("SIGTERM");
    await once(server, "exit");
    await sink.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

const few = await run(FEW);
process.stdout.write(`${few.open} connections: ${few.kb} kB anonymous\n`);
const many = await run(connections);
process.stdout.write(`${many.open} connections: ${many.kb} kB anonymous\n`);
process.stdout.write(`${((many.kb - few.kb) / (many.open - few.open)).toFixed(1)} kB per idle connection\n`);
