/** A start on a full spool: what is due is delivered, and new mail taken, while the rest is still being loaded. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ShardIndex } from "../../src/base/brands.js";
import { SystemClock } from "../../src/base/clock.js";
import { loadConfig } from "../../src/config/load.js";
import { Server } from "../../src/server.js";
import { DEFAULT_PROFILE } from "../../src/sink/options.js";
import { startSink } from "../../src/sink/sink.js";
import { Shard } from "../../src/worker/spool/shard.js";
import { makeDir, removeDir, until, writeConfig } from "../support/server.js";
import { Heard, reception } from "../worker/spool/helpers.js";

const WAITING = 150_000;
const DUE = 20;
const DAY_MS = 86_400_000;

/** Fills shard 0: first some messages that are due, then many that are not. */
async function fill(spoolPath: string): Promise<void> {
  const clock = new SystemClock();
  const shard = Shard.open({
    spoolPath,
    shard: 0 as ShardIndex,
    durability: "committed",
    clock,
    events: new Heard(),
    recentBytes: 0,
    syncIntervalMs: 60_000,
    check: false,
  });
  const content = Buffer.from("Subject: waits\r\n\r\nx\r\n");
  let last = Promise.resolve();
  for (let i = 0; i < DUE + WAITING; i++) {
    const due = i < DUE;
    last = new Promise((resolve, reject) => {
      shard.storeTransaction(
        {
          firstKey: shard.newKeys(1),
          content,
          sender: "s@x.example",
          recipients: [
            {
              recipient: due ? `due-${i}@now.example` : "later@waits.example",
              queue: due ? "now.example" : "waits.example",
            },
          ],
          reception,
          meta: null,
          flags: 0,
          dueMs: due ? 0 : clock.steadyMs() + DAY_MS,
          forceFlush: false,
          deferred: false,
          hold: null,
        },
        { onStored: (fault) => (fault === null ? resolve() : reject(fault)) },
      );
    });
    if (i % 10_000 === 0) await last;
  }
  await last;
  await shard.close();
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
  await fill(config.spool.path);
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
