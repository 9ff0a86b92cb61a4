/**
 * Reception of content: `node dist/bench/micro/dot-decoder.js`. Bodies of lines of 76 characters, in ns per KB.
 *
 *   scan: words          the scan in use (src/smtp/content-scan.ts): four bytes at a time, a closer look at CR and LF
 *   scan: addon          the same by the addon (native/codec.cc), sixteen octets at a time
 *   scan: bytes          the same answers by a loop over bytes
 *   scan: native search  indexOf for each LF and each CR, and two more native passes for NUL and for bytes above 127
 *   copy                 the bytes alone, moved to the message's buffer
 *   decode               all of it, as a session does: scan, copy, limits
 */
import { isAscii } from "node:buffer";
import { Bench } from "tinybench";
import { BufferPool } from "../../src/base/buffer-pool.js";
import { ContentScan, scanContent } from "../../src/native/content-scan.js";
import { loadNative } from "../../src/native/load.js";
import { Content } from "../../src/smtp/content.js";
import { DotDecoder } from "../../src/smtp/dot-decoder.js";

const LF = 0x0a;
const CR = 0x0d;

function body(octets: number): Buffer {
  const line = `${"The quick brown fox jumps over the lazy dog. ".repeat(2).slice(0, 76)}\r\n`;
  return Buffer.from(
    line
      .repeat(Math.ceil(octets / line.length))
      .slice(0, octets - 2)
      .concat("\r\n"),
    "latin1",
  );
}

/** Index of the first bare CR, bare LF, NUL, or the end; notes the longest line and all bits. */
function scanBytes(source: Buffer, start: number, end: number, scan: ContentScan): number {
  let lineStart = start;
  let at = start;
  let bits = 0;
  while (at < end) {
    const byte = source[at] as number;
    if (byte > CR) {
      bits |= byte;
      at++;
    } else if (byte === CR) {
      if (source[at + 1] !== LF) break;
      if (at - lineStart > scan.longestLine) scan.longestLine = at - lineStart;
      at += 2;
      lineStart = at;
    } else if (byte === LF || byte === 0) {
      break;
    } else {
      at++;
    }
  }
  scan.bits = bits;
  return at;
}

function scanNative(source: Buffer, start: number, end: number, scan: ContentScan): number {
  let at = start;
  while (at < end) {
    const lf = source.indexOf(LF, at);
    const cr = source.indexOf(CR, at);
    if (lf < 0 || cr !== lf - 1) break;
    if (cr - at > scan.longestLine) scan.longestLine = cr - at;
    at = lf + 1;
  }
  const seen = source.subarray(start, end);
  scan.bits = isAscii(seen) ? 0 : 0x80;
  scan.nul = seen.includes(0);
  return at;
}

const native = loadNative();
const pool = new BufferPool(1 << 22);
const content = new Content(pool);
const decoder = new DotDecoder(
  { maxOctets: 20 << 20, maxLineOctets: 998, denyBare: true, scan: native.scanContent },
  content,
);
const END = Buffer.from(".\r\n");

for (const octets of [1024, 10 * 1024, 100 * 1024]) {
  // As in a receive arena: at an address that is no multiple of four, with the end of data behind.
  const arena = Buffer.concat([Buffer.alloc(3), body(octets), END]);
  const end = 3 + octets;
  const scan = new ContentScan();
  const target = Buffer.allocUnsafeSlow(octets);
  const bench = new Bench({ time: 300 });
  bench.add("scan: words", () => {
    scan.reset();
    if (scanContent(arena, 3, end, scan) !== end) throw new Error("stopped early");
  });
  bench.add(`scan: ${native.kind}`, () => {
    scan.reset();
    if (native.scanContent(arena, 3, end, scan) !== end) throw new Error("stopped early");
  });
  bench.add("scan: bytes", () => {
    scan.reset();
    if (scanBytes(arena, 3, end, scan) !== end) throw new Error("stopped early");
  });
  bench.add("scan: native search", () => {
    scan.reset();
    if (scanNative(arena, 3, end, scan) !== end) throw new Error("stopped early");
  });
  bench.add("copy", () => {
    arena.copy(target, 0, 3, end);
  });
  bench.add("decode", () => {
    content.begin(0);
    decoder.begin();
    decoder.decode(arena, 3, arena.length);
    if (!decoder.done || content.size !== octets) throw new Error("not decoded");
    content.clear();
  });
  await bench.run();
  for (const task of bench.tasks) {
    if (!("latency" in task.result)) continue;
    const nsPerKb = (task.result.latency.p50 * 1e6) / (octets / 1024);
    process.stdout.write(`${`${octets / 1024} KB, ${task.name}`.padEnd(32)} ${nsPerKb.toFixed(0).padStart(8)} ns/KB\n`);
  }
}
