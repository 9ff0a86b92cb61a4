import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { FrameKind } from "../../src/protocol/layout/frames.js";
import { Bell, Sleeper } from "../../src/ring/doorbell.js";
import { RingReader, RingWriter, ringBytes } from "../../src/ring/ring.js";

function fill(writer: RingWriter, at: number, size: number, seed: number): void {
  for (let i = 0; i < size; i++) writer.bytes[at + i] = (seed + i * 7) & 255;
}

function check(reader: RingReader, at: number, size: number, seed: number): void {
  for (let i = 0; i < size; i++) assert.equal(reader.bytes[at + i], (seed + i * 7) & 255);
}

test("any mix of writes, publishes, reads and releases behaves like a bounded queue", () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ op: fc.constant("write" as const), size: fc.integer({ min: 0, max: 200 }) }) },
    { weight: 2, arbitrary: fc.record({ op: fc.constant("publish" as const), size: fc.constant(0) }) },
    { weight: 5, arbitrary: fc.record({ op: fc.constant("read" as const), size: fc.constant(0) }) },
    { weight: 2, arbitrary: fc.record({ op: fc.constant("release" as const), size: fc.constant(0) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 600 }), (steps) => {
      const memory = new SharedArrayBuffer(ringBytes(1024));
      const writer = new RingWriter(memory);
      const reader = new RingReader(memory);
      const written: { size: number; seed: number }[] = [];
      let published = 0;
      let seen = 0;
      let held = 0; // bytes of frames not yet given back, without pads
      let seed = 0;
      const sizes: number[] = [];
      for (const { op, size } of steps) {
        if (op === "write") {
          const at = writer.reserve(FrameKind.upRare, size);
          if (at < 0) {
            // Full is only said when the frames in the ring, a pad and this frame cannot fit together.
            assert.ok(held + 2 * (16 + size) + 16 > 1024 - 208, `refused ${size} with ${held} held`);
          } else {
            fill(writer, at, size, ++seed);
            written.push({ size, seed });
            held += 8 + ((size + 7) & ~7);
            sizes.push(8 + ((size + 7) & ~7));
            assert.ok(held <= 1024);
          }
        } else if (op === "publish") {
          assert.equal(writer.publish(), written.length > published);
          published = written.length;
        } else if (op === "read") {
          const found = reader.next();
          assert.equal(found, seen < published);
          if (found) {
            const frame = written[seen++]!;
            check(reader, reader.at, frame.size, frame.seed);
          }
        } else {
          reader.release();
          held = sizes.slice(seen).reduce((sum, bytes) => sum + bytes, 0);
        }
      }
    }),
    { numRuns: 300 },
  );
});

test("a full ring refuses, and takes again what was given back", () => {
  const memory = new SharedArrayBuffer(ringBytes(1024));
  const writer = new RingWriter(memory);
  const reader = new RingReader(memory);
  let frames = 0;
  while (writer.reserve(FrameKind.upRare, 24) >= 0) frames++;
  assert.equal(frames, 32);
  assert.ok(writer.free(24) < 0);
  writer.publish();
  for (let i = 0; i < frames; i++) assert.ok(reader.next());
  assert.equal(writer.reserve(FrameKind.upRare, 24), -1, "read is not yet given back");
  reader.release();
  assert.ok(writer.reserve(FrameKind.upRare, 24) >= 0);
});

test("cursors wrap around 2^32 without a seam", () => {
  const memory = new SharedArrayBuffer(ringBytes(1024));
  const words = new Uint32Array(memory);
  words[0] = words[16] = 0xffffff00;
  const writer = new RingWriter(memory);
  const reader = new RingReader(memory);
  for (let i = 0; i < 100; i++) {
    const at = writer.reserve(FrameKind.upRare, 40);
    assert.ok(at >= 0);
    fill(writer, at, 40, i);
    writer.publish();
    assert.ok(reader.next());
    check(reader, reader.at, 40, i);
    reader.release();
  }
  assert.ok((words[0] as number) < 0xffffff00);
});

test("two threads: 200,000 frames of random sizes arrive in order and whole, in both directions at once", async () => {
  const frames = 200_000;
  const up = new SharedArrayBuffer(ringBytes(16384));
  const down = new SharedArrayBuffer(ringBytes(16384));
  const bells = new Int32Array(new SharedArrayBuffer(256));
  const worker = new Worker(new URL("./echo-thread.js", import.meta.url), { workerData: { up, down, bells, frames } });
  const writer = new RingWriter(down);
  const reader = new RingReader(up);
  const bell = new Bell(bells, 16);
  let sent = 0;
  let received = 0;
  await new Promise<void>((resolve, reject) => {
    worker.once("error", reject);
    const keepAlive = setInterval(() => {}, 1000);
    const turn = (): void => {
      sleeper.stayAwake();
      try {
        for (let n = 0; n < 500 && sent < frames; n++) {
          const size = (sent * 7919) % 300;
          const at = writer.reserve(FrameKind.downRare, size + 8);
          if (at < 0) break;
          writer.u32[at >> 2] = sent;
          fill(writer, at + 8, size, sent);
          sent++;
        }
        if (writer.publish()) bell.ring();
        while (reader.next()) {
          assert.equal(reader.u32[reader.at >> 2], received);
          check(reader, reader.at + 8, (received * 7919) % 300, received);
          received++;
        }
        reader.release();
        bell.ring();
      } catch (error) {
        clearInterval(keepAlive);
        reject(error);
        return;
      }
      if (received === frames) {
        clearInterval(keepAlive);
        resolve();
        return;
      }
      sleeper.sleep();
      if (reader.waiting || (sent < frames && writer.free(320) > 0)) setImmediate(turn);
    };
    const sleeper = new Sleeper(bells, 0, turn);
    turn();
  });
  assert.equal(received, frames);
  if (worker.threadId > 0) await Promise.race([once(worker, "exit"), worker.terminate()]);
});
