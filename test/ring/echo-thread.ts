/** The far end of the two-thread ring test: sends every frame back as it came. */
import { workerData } from "node:worker_threads";
import { FrameKind } from "../../src/protocol/layout/frames.js";
import { Bell, Sleeper } from "../../src/ring/doorbell.js";
import { RingReader, RingWriter } from "../../src/ring/ring.js";

const { up, down, bells, frames } = workerData as {
  up: SharedArrayBuffer;
  down: SharedArrayBuffer;
  bells: Int32Array;
  frames: number;
};
const reader = new RingReader(down);
const writer = new RingWriter(up);
const bell = new Bell(bells, 0);
const keepAlive = setInterval(() => {}, 1000);
let echoed = 0;
let held = false;

function turn(): void {
  sleeper.stayAwake();
  while (held || reader.next()) {
    const size = (echoed * 7919) % 300;
    const at = writer.reserve(FrameKind.upRare, size + 8);
    held = at < 0;
    if (held) break;
    writer.bytes.set(reader.bytes.subarray(reader.at, reader.at + size + 8), at);
    echoed++;
  }
  if (!held) reader.release();
  writer.publish();
  bell.ring();
  if (echoed === frames) {
    clearInterval(keepAlive);
    return;
  }
  sleeper.sleep();
  if (held ? writer.free(320) > 0 : reader.waiting) setImmediate(turn);
}

const sleeper = new Sleeper(bells, 16, turn);
turn();
