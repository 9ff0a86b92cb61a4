/** Memory of contents is used again while mail flows: what arrives is what was sent, byte for byte, whatever goes wrong. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { DEFAULT_PROFILE } from "../../src/sink/options.js";
import { startSink } from "../../src/sink/sink.js";
import { makeDir, readLog, removeDir, startServer, until, writeConfig } from "../support/server.js";
import { connectAndGreet } from "../support/smtp-client.js";

const SIZES = [300, 5_000, 12_000, 40_000, 150_000, 700_000];

/** A body of its own kind of bytes: any other message's in its place would show. */
function bodyOf(seed: number): string {
  const size = SIZES[seed % SIZES.length] as number;
  const line = `${createHash("sha256").update(`${seed}`).digest("hex")}`;
  return `${line}\r\n`.repeat(Math.ceil(size / 66));
}

for (const workers of [1, 2]) {
  test(`${workers} worker(s): 240 messages with refusals, lost connections and retries arrive as they were sent`, async () => {
    const dir = makeDir();
    const wrong: string[] = [];
    const arrived = new Set<number>();
    const sink = await startSink({
      host: "127.0.0.1",
      port: 0,
      profile: { ...DEFAULT_PROFILE, fallback: { bounce: 0, defer: 15 }, latencyMs: 3 },
      onMessage: ({ recipients }, content) => {
        const seed = Number(/^m(\d+)/.exec(recipients[0] ?? "")?.[1]);
        arrived.add(seed);
        const text = content.toString("latin1");
        if (text.slice(text.indexOf("\r\n\r\n") + 4) !== bodyOf(seed)) wrong.push(recipients[0] ?? "");
      },
    });
    writeConfig(dir, { to: `127.0.0.1:${sink.port}`, workers, queue: 'retry_interval = "1s"' });
    const running = await startServer(dir);
    const share = async (first: number): Promise<void> => {
      const client = await connectAndGreet(running.port);
      for (let seed = first; seed < 240; seed += 12) {
        const recipients = seed % 5 === 0 ? [`m${seed}@a.example`, `m${seed}@b.example`] : [`m${seed}@c.example`];
        const reply = await client.send("s@x.example", recipients, `Subject: ${seed}\r\n\r\n${bodyOf(seed).trimEnd()}`);
        assert.match(reply, /^250/);
      }
      await client.end();
    };
    await Promise.all(Array.from({ length: 12 }, (_, first) => share(first)));
    await until(() => running.server.scheduler.messages === 0, "the queue to drain");
    await running.stop();
    await sink.stop();
    assert.deepEqual(wrong, []);
    assert.equal(arrived.size, 240);
    assert.ok(readLog(dir).some((record) => record.type === "TransientFailure"));
    removeDir(dir);
  });
}
