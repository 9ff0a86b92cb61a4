/** A start on a full spool: what is due is delivered, and new mail taken, while the rest is still being loaded. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig } from "../../src/config/load.js";
import { Server } from "../../src/server.js";
import { DEFAULT_PROFILE } from "../../src/sink/options.js";
import { startSink } from "../../src/sink/sink.js";
import { type Filling, fillSpool } from "../support/fill-spool.js";
import { makeDir, removeDir, until, writeConfig } from "../support/server.js";

const WAITING = 150_000;
const DUE = 20;

/** First some messages that are due, then many that are not. */
function filling(at: number): Filling {
  return at < DUE
    ? { recipient: `due-${at}@now.example`, queue: "now.example", due: true }
    : { recipient: "later@waits.example", queue: "waits.example", due: false };
}

test("messages that are due are delivered while a full spool is still being loaded", async () => {
  const dir = makeDir();
  const arrived: string[] = [];
  const notices: string[] = [];
  const loaded = (): boolean => notices.includes(`spool shard 0: ${DUE + WAITING} messages found`);
  let tooLate = 0;
  const sink = await startSink({
    host: "127.0.0.1",
    port: 0,
    profile: DEFAULT_PROFILE,
    onMessage: (envelope) => {
      arrived.push(...envelope.recipients);
      if (loaded()) tooLate++;
    },
  });
  const { config } = loadConfig(writeConfig(dir, { to: `127.0.0.1:${sink.port}` }));
  await fillSpool(config.spool.path, DUE + WAITING, filling);
  const server = await Server.start(config, {
    notice: (line) => notices.push(line),
    panic: (error) => {
      throw error;
    },
  });
  try {
    await until(() => loaded() && arrived.length === DUE, "the whole spool, and what was due");
    assert.deepEqual(new Set(arrived), new Set(Array.from({ length: DUE }, (_, i) => `due-${i}@now.example`)));
    assert.equal(tooLate, 0, "all were delivered before the rest was loaded");
    await until(() => server.scheduler.messages === WAITING, "the rest to wait");
  } finally {
    await server.stop();
    await sink.stop();
    removeDir(dir);
  }
});
