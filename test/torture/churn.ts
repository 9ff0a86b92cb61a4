import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { churn } from "../worker/spool/churn.js";

/** An hour's traffic in a minute, or 30 GB of it: the shard's file stays within 1.5 times the peak of live bytes. */
export async function churnedFile(seed: number): Promise<string> {
  const spoolPath = mkdtempSync(join(tmpdir(), "hikyaku-churn-"));
  try {
    const depthBytes = [40e6, 100e6, 250e6][seed % 3]!;
    const course = await churn({ spoolPath, seed, seconds: 60, bytes: 30e9, depthBytes, reader: seed % 4 !== 0 });
    const times = course.fileBytes / course.peakBytes;
    assert.ok(times < 1.5, `the file has ${course.fileBytes} bytes, ${times.toFixed(2)} times the peak of live bytes`);
    const gigabytes = (course.storedBytes / 1e9).toFixed(1);
    return `${course.stored} messages, ${gigabytes} GB came and went; the file is ${times.toFixed(2)} times the peak`;
  } finally {
    rmSync(spoolPath, { recursive: true, force: true });
  }
}
