/** What tests read of a log while its writer lives. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeDir, readLog, removeDir } from "./server.js";

test("the half of a line that a writer at work has written is left out; in a finished segment it is an error", (t) => {
  const dir = makeDir();
  t.after(() => removeDir(dir));
  mkdirSync(join(dir, "var", "log"), { recursive: true });
  const path = join(dir, "var", "log", "20270115-080000.000000000.jsonl");
  writeFileSync(path, '{"type":"Reception","seq":1}\n{"type":"Delivery","seq":2}\n{"type":"Deli');
  assert.deepEqual(
    readLog(dir).map((record) => record.seq),
    [1, 2],
  );
  chmodSync(path, 0o440);
  assert.throws(() => readLog(dir), SyntaxError);
});
