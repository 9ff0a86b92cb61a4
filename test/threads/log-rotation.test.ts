import assert from "node:assert/strict";
import { appendFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { SystemClock } from "../../src/base/clock.js";
import type { DownMessage } from "../../src/protocol/messages.js";
import { LogRotation } from "../../src/threads/log-rotation.js";
import { createLogShared } from "../../src/worker/events/log-shared.js";
import { Segments } from "../../src/worker/events/segments.js";
import { until } from "../support/server.js";

test("a segment is not finished under a worker that was told to begin with it and takes its time", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "hikyaku-rotation-"));
  const problems: string[] = [];
  const segments = new Segments({
    dir,
    maxFileSize: 10,
    maxSegmentDurationMs: null,
    clock: new SystemClock(),
    onFault: (fault) => problems.push(fault.message),
  });
  await segments.open();
  const told: DownMessage[] = [];
  const rotation = new LogRotation(
    segments,
    createLogShared(0n),
    { broadcast: (message) => void told.push(message) },
    (line) => problems.push(line),
  );
  t.after(async () => {
    rotation.stop();
    await segments.idle();
    rmSync(dir, { recursive: true, force: true });
  });
  const first = rotation.begin(0);
  assert.deepEqual(rotation.begin(1), first);
  appendFileSync(first.path, "enough to be full\n");
  await until(() => told.length === 1, "the next segment");
  const second = rotation.current;
  assert.equal(second.number, first.number + 1);

  rotation.switched(0, second);
  await segments.idle();
  assert.ok(existsSync(first.path), "worker 1 has not even opened its file");
  appendFileSync(first.path, "what worker 1 wrote first\n");
  // A successor begins with the new one, and what its predecessor wrote can still be asked for.
  assert.deepEqual(rotation.begin(1), second);
  rotation.switched(0, second);
  await segments.idle();
  assert.ok(existsSync(first.path), "nobody has asked for worker 1's last words");

  rotation.switched(1, second);
  await segments.idle();
  assert.ok(!existsSync(first.path), "everybody has switched");
  assert.deepEqual(problems, []);
});
