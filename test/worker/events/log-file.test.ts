import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { type LogDisk, LogFile, realDisk } from "../../../src/worker/events/log-file.js";
import { createLogShared, LogShared } from "../../../src/worker/events/log-shared.js";

function scratch(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "hikyaku-log-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A disk in memory that takes as many bytes as it is allowed, then says that it is full. */
class SmallDisk implements LogDisk {
  bytes = Buffer.alloc(0);
  room = Infinity;
  /** Most bytes per write. */
  most = Infinity;

  open(): number {
    return 1;
  }

  write(_fd: number, bytes: Uint8Array, from: number, length: number): number {
    const n = Math.min(length, this.room, this.most);
    if (n === 0) throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    this.bytes = Buffer.concat([this.bytes, bytes.subarray(from, from + n)]);
    this.room -= n;
    return n;
  }

  close(): void {}

  /** Lines that are whole. */
  get lines(): string[] {
    return this.bytes
      .toString("utf8")
      .split("\n")
      .filter((line) => line !== "");
  }
}

test("lines leave in order, in one write per flush, and are counted", (t) => {
  const dir = scratch(t);
  let writes = 0;
  const counted: LogDisk["write"] = (...args) => {
    writes++;
    return realDisk.write(...args);
  };
  const disk: LogDisk = { ...realDisk, write: counted };
  const log = new LogFile(new LogShared(createLogShared(41n)), 1 << 20, disk);
  assert.equal(log.shared.nextSeq(), 42n);
  log.switchTo(join(dir, "a.jsonl"));
  assert.deepEqual([log.append("one"), log.append("zwei é"), log.append("三")], [1, 2, 3]);
  assert.equal(log.written, 0);
  assert.equal(log.flush(), true);
  assert.deepEqual([log.written, writes], [3, 1]);
  log.append("four");
  log.switchTo(join(dir, "b.jsonl"));
  log.append("five");
  assert.equal(log.close(), true);
  assert.equal(readFileSync(join(dir, "a.jsonl"), "utf8"), "one\nzwei é\n三\nfour\n");
  assert.equal(readFileSync(join(dir, "b.jsonl"), "utf8"), "five\n");
});

test("lines wait for a segment; one that cannot be opened leaves the old one in use", (t) => {
  const dir = scratch(t);
  const log = new LogFile(new LogShared(createLogShared(0n)), 1 << 20);
  assert.equal(log.append("early"), 1);
  assert.equal(log.flush(), false);
  log.switchTo(join(dir, "a.jsonl"));
  assert.throws(() => log.switchTo(join(dir, "absent", "b.jsonl")), { code: "log.unwritable", errno: "ENOENT" });
  assert.equal(log.close(), true);
  assert.equal(readFileSync(join(dir, "a.jsonl"), "utf8"), "early\n");
});

test("a full disk loses no line and breaks no other: what was torn is written again whole", () => {
  const steps = fc.array(
    fc.record({
      lines: fc.array(fc.nat(40), { maxLength: 5 }),
      room: fc.nat(120),
      most: fc.integer({ min: 1, max: 200 }),
      who: fc.nat(1),
    }),
    {
      maxLength: 25,
    },
  );
  fc.assert(
    fc.property(steps, (script) => {
      const disk = new SmallDisk();
      const shared = createLogShared(0n);
      const logs = [0, 1].map(() => new LogFile(new LogShared(shared), 1 << 20, disk));
      for (const log of logs) log.switchTo("x");
      const wanted: string[][] = [[], []];
      for (const { lines, room, most, who } of script) {
        disk.room = room;
        disk.most = most;
        const log = logs[who]!;
        for (const length of lines) {
          const line = `<${who}:${wanted[who]!.length}:${"x".repeat(length)}>`;
          assert.equal(log.append(line), wanted[who]!.push(line));
        }
        const clean = log.flush();
        assert.equal(clean, log.written === wanted[who]!.length);
        assert.equal(log.fault === null, clean);
        // All that is said to be written is there, whole.
        const there = disk.lines;
        for (const line of wanted[who]!.slice(0, log.written)) assert.ok(there.includes(line), line);
      }
      disk.room = Infinity;
      disk.most = Infinity;
      for (const log of logs) assert.equal(log.flush(), true);
      const there = disk.lines.filter((line) => /^<.*>$/.test(line) && line.indexOf("<", 1) < 0);
      for (const who of [0, 1]) {
        assert.deepEqual(
          there.filter((line) => line.startsWith(`<${who}:`)),
          wanted[who],
        );
      }
    }),
    { numRuns: 400 },
  );
});

test("what cannot be written is bounded: when full nothing more is taken, and it goes on when there is room", () => {
  const disk = new SmallDisk();
  const log = new LogFile(new LogShared(createLogShared(0n)), 300 * 1024, disk);
  log.switchTo("x");
  disk.room = 0;
  const line = "x".repeat(1000);
  let taken = 0;
  for (; taken < 150; taken++) {
    assert.equal(log.crowded, false);
    log.append(line);
  }
  while (log.append(line) !== 0) taken++;
  assert.equal(log.crowded, true, "beyond half of it");
  assert.ok(taken > 290 && taken < 310, `${taken} lines`);
  assert.equal(log.hasRoom(1000), false);
  assert.equal(log.fault?.errno, "ENOSPC");
  disk.room = Infinity;
  assert.equal(log.hasRoom(1000), true);
  assert.equal(log.append(line), taken + 1);
  assert.equal(log.flush(), true);
  assert.equal(log.fault, null);
  assert.equal(log.crowded, false);
  assert.equal(disk.lines.length, taken + 1);
  assert.equal(log.append("y".repeat(2_000_000)), taken + 2, "a single line may be longer than the limit");
  assert.equal(log.flush(), true);
});

test("threads that write one file keep their lines whole and number them without gaps", async (t) => {
  const path = join(scratch(t), "a.jsonl");
  const shared = createLogShared(100n);
  const threads = [0, 1, 2].map(
    (who) => new Worker(new URL("./log-writer-thread.js", import.meta.url), { workerData: { path, shared, who } }),
  );
  await Promise.all(threads.map((thread) => once(thread, "exit")));
  const lines = readFileSync(path, "utf8").split("\n");
  assert.equal(lines.pop(), "");
  const records = lines.map((line) => JSON.parse(line) as { seq: number; who: number; pad: string });
  assert.deepEqual(
    records.map((record) => record.seq).sort((a, b) => a - b),
    Array.from({ length: 3000 }, (_, i) => 101 + i),
  );
  for (const who of [0, 1, 2]) {
    const own = records.filter((record) => record.who === who).map((record) => record.seq);
    assert.deepEqual(
      own,
      own.slice().sort((a, b) => a - b),
    );
  }
});
