/** Real proxies from the system's packages, on free ports of this machine. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { DEFAULT_PROFILE } from "../../src/sink/options.js";
import { type RunningSink, startSink } from "../../src/sink/sink.js";
import { makeDir, removeDir } from "../support/server.js";
import { untestable } from "../support/untestable.js";

const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` };

/** Whether a program is here; without it the test says so, and fails where everything must be tested. */
export function present(t: TestContext, program: string, debianPackage: string): boolean {
  if (spawnSync("sh", ["-c", `command -v ${program}`], { env }).status === 0) return true;
  return untestable(t, `${program} is missing (Debian package ${debianPackage})`);
}

/** A port of an address that nobody listens on now. */
export async function freePort(host = "127.0.0.1"): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function untilListening(child: ChildProcess, port: number, words: () => string): Promise<void> {
  for (;;) {
    const socket = connect(port, "127.0.0.1");
    const up = await Promise.race([
      once(socket, "connect").then(() => true),
      once(socket, "close").then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (up) return;
    assert.equal(child.exitCode, null, words());
  }
}

/** Starts a program with a configuration file, and waits until it listens. */
async function start(t: TestContext, line: readonly string[], config: string, port: number): Promise<void> {
  const dir = makeDir();
  const file = join(dir, "proxy.conf");
  writeFileSync(file, config);
  const [program, ...args] = [...line, file];
  const child = spawn(program as string, args, { env, stdio: ["ignore", "pipe", "pipe"], cwd: dir });
  let words = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (words += chunk.toString()));
  t.after(async () => {
    const gone = once(child, "close");
    child.kill("SIGTERM");
    if (child.exitCode === null) await gone;
    removeDir(dir);
  });
  await untilListening(child, port, () => words);
}

/** A HAProxy that takes PROXY headers, and leaves from 127.0.0.7 for a source of that address; others are hung up on. */
export async function startHaproxy(t: TestContext): Promise<number> {
  const port = await freePort();
  const config = `
global
  maxconn 100
defaults
  mode tcp
  timeout connect 2s
  timeout client 10s
  timeout server 10s
frontend out
  bind 127.0.0.1:${port} accept-proxy
  use_backend from-7 if { src 127.0.0.7 }
backend from-7
  source 127.0.0.7
  server destination 0.0.0.0:0
`;
  await start(t, ["haproxy", "-db", "-f"], config, port);
  return port;
}

/** A Dante that connects from 127.0.0.8 for whoever asks. */
export async function startDante(t: TestContext): Promise<number> {
  const port = await freePort();
  const config = `
logoutput: stderr
internal: 127.0.0.1 port = ${port}
external: 127.0.0.8
external.rotation: same-same
socksmethod: none
clientmethod: none
user.privileged: root
user.unprivileged: nobody
client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }
socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 command: connect }
`.replace("external.rotation: same-same\n", "");
  await start(t, ["danted", "-f"], config, port);
  return port;
}

/** A sink that also notes the addresses that its clients came from. */
export interface WatchedSink {
  readonly port: number;
  readonly sink: RunningSink;
  readonly from: string[];
}

/** Starts a sink on `host` behind a plain relay that notes its clients' addresses. */
export async function startWatchedSink(t: TestContext, host = "127.0.0.1"): Promise<WatchedSink> {
  const sink = await startSink({ host: "127.0.0.1", port: 0, profile: DEFAULT_PROFILE });
  const from: string[] = [];
  const tap = createServer((socket) => {
    from.push(socket.remoteAddress ?? "");
    const behind = connect(sink.port, "127.0.0.1");
    for (const end of [socket, behind]) end.on("error", () => {});
    socket.pipe(behind).pipe(socket);
    t.after(() => {
      socket.destroy();
      behind.destroy();
    });
  });
  await once(tap.listen(0, host), "listening");
  t.after(async () => {
    tap.close();
    await sink.stop();
  });
  const address = tap.address();
  return { port: typeof address === "object" && address !== null ? address.port : 0, sink, from };
}
