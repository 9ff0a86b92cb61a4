/** `system_shutdown_timeout`: how long a stop waits for a mail host that stands still in the middle of a message. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { afterEach, beforeEach, test } from "node:test";
import { ChildServer } from "../support/child-server.js";
import { makeDir, readLog, removeDir, until, untilAsked, writeConfig } from "../support/server.js";
import { connectAndGreet } from "../support/smtp-client.js";
import { type StallingHost, startStallingHost } from "../support/stalling-host.js";

/** More than the kernel takes off a sender whose peer does not read. */
const BIG = `Subject: big\r\n\r\n${`${"x".repeat(998)}\r\n`.repeat(16_000)}`;

let dir: string;
let host: StallingHost;
let server: ChildServer;

beforeEach(async () => {
  dir = makeDir();
  host = await startStallingHost();
});

afterEach(async () => {
  await server.kill();
  await host.stop();
  removeDir(dir);
});

/** A server whose mail host stands still with its only message. */
async function stall(timeout: string): Promise<void> {
  writeConfig(dir, {
    to: `127.0.0.1:${host.port}`,
    queue: 'retry_interval = "1s"',
    listener: 'max_message_size = "64MiB"',
    shaping: `["default"]\nsystem_shutdown_timeout = "${timeout}"\n`,
  });
  server = await ChildServer.start(dir);
  const client = await connectAndGreet(server.port);
  assert.match(await client.send("s@x.example", ["r@y.example"], BIG), /^250 /);
  await client.end();
  await until(() => host.begun === 1, "the message to be under way");
}

/** Stops the server; returns how long that took. */
async function stop(): Promise<number> {
  const beganMs = performance.now();
  const gone = once(server.process, "exit");
  server.process.kill("SIGTERM");
  assert.deepEqual(await gone, [0, null], server.words);
  return performance.now() - beganMs;
}

test("the stop waits so long, then breaks off; the message goes back and is delivered by the next run", async () => {
  await stall("2s");
  const tookMs = await stop();
  assert.ok(tookMs >= 2000, `it waited ${tookMs} ms only`);
  // Neither the ten seconds that are usual, nor the five that workers have for what clients still do.
  assert.ok(tookMs < 5500, `it waited ${tookMs} ms`);
  // What is left of the first try comes to its end.
  host.goOn();
  await until(() => host.broken === 1, "the connection to be broken off");
  assert.equal(host.taken, 0);
  const types = () => readLog(dir).map((record) => record.type);
  assert.deepEqual(types(), ["Reception"], "nothing became of it: no failure, no attempt");
  server = await ChildServer.start(dir);
  await until(() => types().includes("Delivery"), "the delivery");
  assert.deepEqual([types(), host.taken], [["Reception", "Delivery"], 1]);
});

test("a message that comes to its end in that time is delivered, and the stop waits no longer", async () => {
  await stall("60s");
  const stopped = stop();
  await untilAsked(async () => (await server.liveness()) === 503, "the stop to begin");
  host.goOn();
  const tookMs = await stopped;
  assert.ok(tookMs < 30_000, `${tookMs} ms`);
  assert.deepEqual([host.taken, host.broken], [1, 0]);
  assert.deepEqual(
    readLog(dir).map((record) => record.type),
    ["Reception", "Delivery"],
  );
});
