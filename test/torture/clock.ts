/**
 * The wall clock is set forward and back by weeks under a running server, and before a restart: nothing expires in
 * masses, retries come when they are due by the monotonic clock, ids stay unique and in order.
 *
 * The clock is moved by a shim that the test compiles with the system's compiler and preloads.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Random, SeededRandom } from "../../src/base/random.js";
import { createdMs, parseMessageId } from "../../src/protocol/message-id.js";
import { projectRoot } from "../support/root.js";
import { until, writeConfig } from "../support/server.js";
import { type EvidenceRecord, readEvidence, readSpool } from "./evidence.js";
import { Load, MIXED } from "./load.js";
import { drained } from "./program.js";
import { Scene } from "./scene.js";
import { describeSummary, judge } from "./verdict.js";

const DAY_US = 86_400_000_000n;
const RETRY_MS = 3000;
/** How late a retry may come on a busy machine. */
const SLACK_MS = 5000;
const DRAIN_MS = 60_000;
const MAX_AGE = "7d";

/** Why the clock cannot be moved here, null when it can. */
export function clockRefusal(): string | null {
  if (process.platform !== "linux") return "the clock is moved by a preloaded library, on Linux only";
  return spawnSync("cc", ["--version"]).status === 0 ? null : "no C compiler";
}

/** A wall clock that the test sets. */
class SetClock {
  readonly env: Record<string, string>;
  readonly #file: string;

  constructor(dir: string) {
    this.#file = join(dir, "clock-offset");
    const library = join(dir, "clock-shim.so");
    const source = join(projectRoot, "test", "torture", "clock-shim.c");
    const built = spawnSync("cc", ["-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], { encoding: "utf8" });
    assert.equal(built.status, 0, built.stderr);
    this.set(0);
    this.env = { LD_PRELOAD: library, CLOCK_OFFSET_FILE: this.#file };
  }

  /** Whole days before (negative) or after the true time. */
  set(days: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(days) * DAY_US);
    // In place: a running server has the file mapped.
    writeFileSync(this.#file, bytes, { flag: existsSync(this.#file) ? "r+" : "w" });
  }
}

/** Runs the whole story of the head of this file. Throws when a rule is broken. */
export function clockSteps(seed: number): Promise<string> {
  const random = new SeededRandom(seed);
  return Scene.play({ latencyMs: 20, random }, (scene) => playSteps(scene, random));
}

async function playSteps(scene: Scene, random: Random): Promise<string> {
  const { dir, sink } = scene;
  const clock = new SetClock(dir);
  // Every third recipient is deferred once or twice: there is always mail that waits.
  const load = new Load({ ...MIXED, clients: 3, defer: 0.3, wrong: 0, random });
  writeConfig(dir, {
    to: `127.0.0.1:${sink.port}`,
    workers: 2,
    queue: `retry_interval = "${RETRY_MS / 1000}s"\nmax_retry_interval = "${RETRY_MS / 1000}s"\nmax_age = "${MAX_AGE}"`,
  });
  const beganMs = Date.now();
  const first = await scene.start({ env: clock.env });
  load.run(first.where.smtp);
  for (const days of [30, -30, 400, 0]) {
    const before = load.accepted;
    await until(() => load.accepted > before + 60, "mail to flow after a step of the clock");
    clock.set(days);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  assert.ok(
    readEvidence(dir).records.some(({ event_time }) => Date.parse(event_time) > beganMs + 20 * 86_400_000),
    "the server saw the clock step",
  );
  await until(() => sink.retryGapsMs.length > 20, "retries");
  await load.stop();
  assert.equal((await first.program.stop()).code, 0);
  for (const { ids } of load.sent) {
    for (const id of ids) {
      const made = createdMs(parseMessageId(id)?.key ?? assert.fail(id));
      assert.ok(made >= beganMs - 1000 && made <= Date.now() + 1000, `${id} was made at the steady time`);
    }
  }
  checkRetries(dir);
  const gaps = [...sink.retryGapsMs].sort((a, b) => a - b);
  assert.ok(gaps.length > 20, `${gaps.length} retries`);
  assert.ok(gaps[0]! >= RETRY_MS * 0.95, `a retry came after ${gaps[0]} ms`);
  assert.ok(gaps.at(-1)! <= RETRY_MS + SLACK_MS, `a retry came after ${gaps.at(-1)} ms`);

  // With mail that waits, and with an empty spool: the clock was set back while the server was down.
  for (const days of [-3, -10]) {
    clock.set(days);
    const newest = newestKeys(load);
    const from = load.sent.length;
    const restartedMs = performance.now();
    const again = await scene.start({ env: clock.env });
    load.run(again.where.smtp);
    await until(() => load.sent.length > from + 30, "mail to flow under a clock that was set back");
    await load.stop();
    await drained(again.where, DRAIN_MS);
    const tookMs = performance.now() - restartedMs;
    assert.ok(tookMs < 3 * (RETRY_MS + SLACK_MS), `what waited was held up for ${tookMs} ms`);
    assert.equal((await again.program.stop()).code, 0);
    for (const { ids } of load.sent.slice(from)) {
      for (const id of ids) {
        const { shard, key } = parseMessageId(id) ?? assert.fail(id);
        assert.ok(key > (newest.get(shard) ?? 0), `${id} comes after everything that was there`);
      }
    }
  }
  const log = readEvidence(dir);
  const summary = judge({ sent: load.sent, sink, log, spool: await readSpool(dir), deathsMs: [] }, true);
  return describeSummary(summary);
}

function newestKeys(load: Load): Map<number, number> {
  const newest = new Map<number, number>();
  for (const id of load.sent.flatMap(({ ids }) => ids)) {
    const { shard, key } = parseMessageId(id) ?? assert.fail(id);
    newest.set(shard, Math.max(key, newest.get(shard) ?? 0));
  }
  return newest;
}

/** No message was tried again before its time, nor more often than its mail host deferred it. */
function checkRetries(dir: string): void {
  const tries = new Map<string, EvidenceRecord[]>();
  for (const record of readEvidence(dir).records) {
    assert.notEqual(record.type, "Expiration", `${record.id} expired`);
    if (record.type !== "TransientFailure") continue;
    const known = tries.get(record.id);
    if (known === undefined) tries.set(record.id, [record]);
    else known.push(record);
  }
  assert.ok(tries.size > 20, "some mail was deferred");
  for (const [id, failures] of tries) {
    const wanted = Number(/^late-(\d+)-/.exec(failures[0]!.recipient)?.[1] ?? "0");
    assert.ok(failures.length <= wanted, `${id} failed ${failures.length} times and was deferred ${wanted} times`);
  }
}
