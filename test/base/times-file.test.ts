import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Fault } from "../../src/base/fault.js";
import { machineUs, numberedLocal, numberOfLocal, readTimes, TimesWriter } from "../../src/base/times-file.js";

const directory = mkdtempSync(join(tmpdir(), "hikyaku-test-"));
after(() => rmSync(directory, { recursive: true }));

test("what was noted is read again, over many buffers, but for half a record at the end", () => {
  const path = join(directory, "times");
  const began = machineUs();
  const writer = new TimesWriter(path);
  for (let number = 1; number <= 10_000; number++) writer.note(number);
  writer.close();
  const ended = machineUs();
  const read = () => {
    const numbers: number[] = [];
    let last = began;
    readTimes(path, (number, atUs) => {
      numbers.push(number);
      assert.ok(last <= atUs && atUs <= ended, `${last} ≤ ${atUs} ≤ ${ended}`);
      last = atUs;
    });
    return numbers;
  };
  assert.deepEqual(
    read(),
    Array.from({ length: 10_000 }, (_, i) => i + 1),
  );
  truncateSync(path, readFileSync(path).length - 5);
  assert.equal(read().length, 9999);
});

test("two processes of a machine share the clock", () => {
  const before = machineUs();
  const file = new URL("../../src/base/times-file.js", import.meta.url).href;
  const script = `import("${file}").then((it) => console.log(it.machineUs()))`;
  const other = Number(spawnSync(process.execPath, ["-e", script], { encoding: "utf8" }).stdout);
  assert.ok(before < other && other < machineUs(), `${before} < ${other}`);
});

test("a file that cannot be made is a fault", () => {
  assert.throws(
    () => new TimesWriter(join(directory, "no", "such")),
    (error) => error instanceof Fault && error.code === "log.unwritable",
  );
});

test("local parts carry numbers", () => {
  for (const number of [0, 1, 42, 99_999_999_999]) {
    assert.equal(numberedLocal(number).length, 12);
    assert.equal(numberOfLocal(numberedLocal(number)), number);
  }
  for (const local of ["", "n1", "m00000000001", "n0000000000x", "n000000000012"])
    assert.equal(numberOfLocal(local), -1);
});
