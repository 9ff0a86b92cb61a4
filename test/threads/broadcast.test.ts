import assert from "node:assert/strict";
import { test } from "node:test";
import { Unpackr } from "msgpackr";
import type { ShardIndex, WorkerIndex } from "../../src/base/brands.js";
import { FrameKind, Rare } from "../../src/protocol/layout/frames.js";
import type { DownMessage } from "../../src/protocol/messages.js";
import { Bell } from "../../src/ring/doorbell.js";
import { RingReader, ringBytes } from "../../src/ring/ring.js";
import { Broadcast } from "../../src/threads/broadcast.js";
import { WorkerLink } from "../../src/threads/worker-link.js";
import { until } from "../support/server.js";

/** A link with a small ring, and what its worker reads. */
function pair(index: number) {
  const down = new SharedArrayBuffer(ringBytes(4096));
  const up = new SharedArrayBuffer(ringBytes(4096));
  const words = new Int32Array(new SharedArrayBuffer(64));
  const link = new WorkerLink(index as WorkerIndex, up, down, new Bell(words, 0), () => {}, new Map());
  const reader = new RingReader(down);
  const unpackr = new Unpackr({ useRecords: false });
  const heard: DownMessage[] = [];
  const read = (): void => {
    while (reader.next()) {
      if (reader.kind !== FrameKind.downRare) continue;
      const length = reader.u32[(reader.at + Rare.length) >> 2] as number;
      const start = reader.at + Rare.bytes;
      heard.push(unpackr.unpack(Buffer.from(reader.bytes.slice(start, start + length))) as DownMessage);
    }
    reader.release();
  };
  return { link, heard, read };
}

const stop: DownMessage = { kind: "stop", deadlineMs: 10 };

function kindsOf(messages: readonly DownMessage[]): string[] {
  return messages.map(({ kind }) => kind);
}

function fill(link: WorkerLink): void {
  while (link.send({ kind: "letGo", shard: 0 as ShardIndex })) {}
  link.publish();
}

test("a stop that finds a worker's ring full is sent when there is room, once, and at once to the others", async () => {
  const [full, roomy] = [pair(0), pair(1)];
  fill(full.link);
  const broadcast = new Broadcast();
  broadcast.send([full.link, roomy.link], stop);
  roomy.read();
  assert.deepEqual(roomy.heard, [stop]);
  full.read();
  assert.ok(full.heard.length > 10 && kindsOf(full.heard).every((kind) => kind === "letGo"));
  await until(() => {
    full.read();
    return kindsOf(full.heard).includes("stop");
  }, "the stop");
  assert.equal(kindsOf(full.heard).filter((kind) => kind === "stop").length, 1);
  roomy.read();
  assert.deepEqual(roomy.heard, [stop], "nobody hears it twice");
});

test("of one kind about one shard the last is kept, and nothing for a worker that died", async () => {
  const [full, dead] = [pair(0), pair(1)];
  fill(full.link);
  fill(dead.link);
  const broadcast = new Broadcast();
  for (let n = 0; n < 100; n++) {
    for (const shard of [1, 2]) broadcast.send([full.link, dead.link], { kind: "letGo", shard: shard as ShardIndex });
    broadcast.send([full.link, dead.link], { kind: "stop", deadlineMs: n });
  }
  dead.link.sever();
  dead.read();
  const before = dead.heard.length;
  full.read();
  const filled = full.heard.length;
  await until(() => {
    full.read();
    return full.heard.length > filled;
  }, "what was kept");
  assert.deepEqual(
    full.heard.slice(filled).map((message) => ({ ...message })),
    [
      { kind: "letGo", shard: 1 },
      { kind: "letGo", shard: 2 },
      { kind: "stop", deadlineMs: 99 },
    ],
  );
  dead.read();
  assert.equal(dead.heard.length, before);
});
