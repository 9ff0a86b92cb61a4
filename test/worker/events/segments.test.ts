import assert from "node:assert/strict";
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type TestContext, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { ManualClock } from "../../../src/base/clock.js";
import { compressedSuffix } from "../../../src/base/compression.js";
import type { Fault } from "../../../src/base/fault.js";
import { parseSegmentName, segmentStamp } from "../../../src/protocol/segment-name.js";
import { SETTLED_BYTES, Segments, type SegmentsOptions } from "../../../src/worker/events/segments.js";
import { countBlockingSyncs } from "../../support/file-syncs.js";

function setUp(
  t: TestContext,
  more: Partial<SegmentsOptions> = {},
): { dir: string; clock: ManualClock; segments: Segments; faults: Fault[] } {
  const dir = mkdtempSync(join(tmpdir(), "hikyaku-segments-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const clock = new ManualClock();
  const faults: Fault[] = [];
  const segments = new Segments({
    dir,
    maxFileSize: 1000,
    maxSegmentDurationMs: null,
    clock,
    onFault: (fault) => faults.push(fault),
    ...more,
  });
  t.after(() => segments.idle());
  return { dir, clock, segments, faults };
}

const line = (seq: number): string => `{"type":"Delivery","seq":${seq},"id":"x"}\n`;

test("names order like time, also when the clock steps back or stands still", () => {
  let last = "";
  for (const ms of [1_800_000_000_000, 1_800_000_000_000, 1_799_999_000_000, 1_800_000_000_001, 1_900_000_000_000]) {
    const stamp = segmentStamp(ms, last);
    assert.ok(stamp > last);
    assert.equal(parseSegmentName(`${stamp}.jsonl`)?.stamp, stamp);
    last = stamp;
  }
  assert.equal(segmentStamp(1_800_000_000_123, ""), "20270115-080000.123000000");
  for (const name of ["x.jsonl", "20270115-080000.123000000", "20270115-080000.123000000.jsonl.gz.tmp"]) {
    assert.equal(parseSegmentName(name), null);
  }
});

test("a segment is due by size or by age, an empty one never by age", async (t) => {
  const { segments, clock } = setUp(t, { maxSegmentDurationMs: 60_000 });
  const { path, lastSeq } = await segments.open();
  assert.equal(lastSeq, 0n);
  assert.equal(segments.due(), false);
  clock.advance(60_000);
  assert.equal(segments.due(), false);
  appendFileSync(path, line(1));
  assert.equal(segments.due(), true);
  const turned = segments.rotate();
  assert.equal(turned.finished, path);
  assert.equal(segments.due(), false);
  appendFileSync(turned.path, "x".repeat(1000));
  assert.equal(segments.due(), true);
  rmSync(turned.path);
  assert.equal(segments.due(), true, "a file that somebody took away is replaced");
});

test("a finished segment loses its write permission, then is compressed; an empty one goes", async (t) => {
  const { segments, dir, faults } = setUp(t);
  const { path } = await segments.open();
  const text = Array.from({ length: 50 }, (_, i) => line(i + 1)).join("");
  appendFileSync(path, text);
  const second = segments.rotate();
  segments.finish(second.finished);
  assert.equal(statSync(path).mode & 0o222, 0);
  await segments.idle();
  const packed = path + compressedSuffix;
  assert.equal(existsSync(path), false);
  if (compressedSuffix === ".gz") assert.equal(gunzipSync(readFileSync(packed)).toString(), text);
  assert.equal(statSync(packed).mode & 0o222, 0);
  const third = segments.rotate();
  segments.finish(third.finished);
  await segments.idle();
  assert.deepEqual(readdirSync(dir).length, 2);
  assert.deepEqual(faults, []);
});

test("a start goes on with the numbers of what is there, plain or compressed, and finishes it", async (t) => {
  const { segments, dir, clock } = setUp(t);
  writeFileSync(join(dir, "20200101-000000.000000000.jsonl"), line(7) + line(9) + line(8));
  writeFileSync(join(dir, "20200101-000001.000000000.jsonl"), "");
  writeFileSync(join(dir, "20200101-000002.000000000.jsonl.gz.tmp"), "unfinished");
  writeFileSync(join(dir, "other.txt"), "");
  const first = await segments.open();
  assert.equal(first.lastSeq, 9n);
  assert.equal(readdirSync(dir).length, 4, "what was left stays until its newest part was read");
  assert.deepEqual(
    first.newest.map(({ path, from }) => [basename(path), from]),
    [
      ["20200101-000000.000000000.jsonl", -SETTLED_BYTES],
      ["20200101-000001.000000000.jsonl", -SETTLED_BYTES],
    ],
  );
  segments.finishLeft();
  appendFileSync(first.path, `${line(10)}{"type":"Bounce","seq":12,"torn`);
  await segments.idle();
  assert.deepEqual(
    readdirSync(dir).filter((name) => name.startsWith("2020")),
    [`20200101-000000.000000000.jsonl${compressedSuffix}`],
  );

  const again = new Segments({ dir, maxFileSize: 1000, maxSegmentDurationMs: null, clock, onFault: assert.fail });
  const second = await again.open();
  // The torn record's number was taken, too; whether it counts does not matter, reusing 10 or 11 would.
  assert.equal(second.lastSeq, 12n);
  again.finishLeft();
  await again.idle();
  assert.ok(second.path > first.path);
  const third = new Segments({ dir, maxFileSize: 1000, maxSegmentDurationMs: null, clock, onFault: assert.fail });
  const last = await third.open();
  assert.equal(last.lastSeq, 12n, "read from the compressed file");
  // What a segment says may still be needed when it was compressed long ago: a removal takes as long as the disk takes.
  const packed = [first.path, "20200101-000000.000000000.jsonl"].map((name) => basename(name) + compressedSuffix);
  assert.deepEqual(
    last.newest.map(({ path }) => basename(path)).filter((name) => packed.includes(name)),
    packed.sort(),
  );
  await third.idle();
  assert.ok(existsSync(join(dir, "other.txt")));
});

test("a rotation does not wait for the disk: the scheduler's thread makes it", async (t) => {
  const { segments, faults } = setUp(t);
  await segments.open();
  const waited = countBlockingSyncs(t);
  segments.rotate();
  assert.deepEqual(waited, { files: 0, directories: 0 });
  await segments.idle();
  assert.deepEqual(faults, []);
});

test("a directory that cannot be made is a fault", async (t) => {
  const { dir } = setUp(t);
  writeFileSync(join(dir, "file"), "");
  const bad = new Segments({
    dir: join(dir, "file", "log"),
    maxFileSize: 1,
    maxSegmentDurationMs: null,
    clock: new ManualClock(),
    onFault: assert.fail,
  });
  await assert.rejects(bad.open(), { code: "log.unwritable", errno: "ENOTDIR" });
});
