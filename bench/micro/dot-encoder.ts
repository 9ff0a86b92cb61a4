/**
 * Dot stuffing: `node dist/bench/micro/dot-encoder.js`. Milliseconds for a message of 10 MB.
 *
 *   dots: none         content without a dot line, when nobody knew beforehand
 *   dots: sparse       a dot line per 64 KB: slices, nothing copied
 *   dots: only         nothing but dot lines: copied
 *   dots: only, sliced the same by slices alone, which is what the copy saves us from
 */
import { writeStuffed } from "../../src/smtp/dot-encoder.js";

const SIZE = 10_000_000;
const line = `${"y".repeat(70)}\r\n`;
const none = Buffer.from(line.repeat(Math.floor(SIZE / line.length)), "latin1");
const sparse = Buffer.from(none);
for (let at = 0; at < sparse.length; at += 910 * line.length) sparse[at] = 0x2e;
const only = Buffer.from(".\r\n".repeat(Math.floor(SIZE / 3)), "latin1");

let pieces = 0;
const sink = { writeBytes: () => void pieces++ };

function sliced(content: Buffer): void {
  const mark = Buffer.from("\r\n.");
  let from = 0;
  for (let at = content.indexOf(mark); at >= 0; at = content.indexOf(mark, at + 2)) {
    content.subarray(from, at + 3);
    sink.writeBytes();
    from = at + 2;
  }
}

function measure(name: string, rounds: number, run: () => void): void {
  run();
  pieces = 0;
  const start = process.hrtime.bigint();
  for (let i = 0; i < rounds; i++) run();
  const ms = Number(process.hrtime.bigint() - start) / 1e6 / rounds;
  process.stdout.write(`${name.padEnd(30)} ${ms.toFixed(2).padStart(10)} ms ${pieces / rounds} pieces\n`);
}

measure("dots: none", 10, () => writeStuffed(none, sink));
measure("dots: sparse", 10, () => writeStuffed(sparse, sink));
measure("dots: only", 3, () => writeStuffed(only, sink));
measure("dots: only, sliced", 1, () => sliced(only));
