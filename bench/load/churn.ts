/**
 * The size of a shard's file under churn: `node dist/bench/load/churn.js [--seed N] [--seconds N] [--gigabytes N]
 * [--depth MB] [--no-reader]`. Prints once a second what was stored, what is live, and how big the file is against the
 * peak of live bytes.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type ChurnCourse, churn } from "../../test/worker/spool/churn.js";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    seconds: { type: "string", default: "60" },
    gigabytes: { type: "string", default: "1000" },
    depth: { type: "string", default: "200" },
    "no-reader": { type: "boolean", default: false },
  },
});

function print({ stored, storedBytes, liveBytes, peakBytes, fileBytes }: ChurnCourse): void {
  const mb = (bytes: number): string => (bytes / 1e6).toFixed(0).padStart(6);
  process.stdout.write(
    `${String(stored).padStart(8)} messages, ${mb(storedBytes)} MB; live ${mb(liveBytes)} MB, peak ${mb(peakBytes)} MB, ` +
      `file ${mb(fileBytes)} MB: ${(fileBytes / peakBytes).toFixed(2)} of the peak\n`,
  );
}

const spoolPath = mkdtempSync(join(tmpdir(), "hikyaku-churn-"));
try {
  const course = await churn({
    spoolPath,
    seed: Number(values.seed),
    seconds: Number(values.seconds),
    bytes: Number(values.gigabytes) * 1e9,
    depthBytes: Number(values.depth) * 1e6,
    reader: !values["no-reader"],
    progress: print,
  });
  print(course);
} finally {
  rmSync(spoolPath, { recursive: true, force: true });
}
