/**
 * The server is told to stop while it works, more than once and with other signals in between: it refuses new work,
 * ends what is under way inside a bound, and loses nothing.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type Random, SeededRandom } from "../../src/base/random.js";
import { spoolOwner } from "../../src/worker/spool/lock.js";
import { until, writeConfig } from "../support/server.js";
import { readEvidence, readSpool } from "./evidence.js";
import { Load, MAX_MESSAGE_BYTES, MIXED } from "./load.js";
import { drained } from "./program.js";
import { Scene } from "./scene.js";
import { describeSummary, judge } from "./verdict.js";

/** What the stop is tried with. */
export interface StopOptions {
  readonly seed: number;
  /** Sent one after the other, with a pause drawn in between; the first one begins the stop. */
  readonly signals: readonly NodeJS.Signals[];
  /** Longest wait of the mail host before its answer. */
  readonly latencyMs: number;
  /** The stop must be over after this. */
  readonly withinMs: number;
}

const ACCEPTED_BEFORE = 150;
const LONGEST_PAUSE_MS = 100;
const DRAIN_MS = 60_000;

/** Stops a server under load; then starts it again and lets it deliver everything. Throws when a rule is broken. */
export function stopUnderLoad(options: StopOptions): Promise<string> {
  const random = new SeededRandom(options.seed);
  return Scene.play({ latencyMs: options.latencyMs, random }, (scene) => playStop(scene, random, options));
}

async function playStop(scene: Scene, random: Random, options: StopOptions): Promise<string> {
  const { dir, sink } = scene;
  const load = new Load({ ...MIXED, random });
  writeConfig(dir, {
    to: `127.0.0.1:${sink.port}`,
    workers: 2,
    queue: 'retry_interval = "1s"\nmax_retry_interval = "1s"',
    listener: `max_message_size = ${MAX_MESSAGE_BYTES}`,
  });
  const { program, where } = await scene.start();
  load.run(where.smtp);
  await until(() => load.accepted >= ACCEPTED_BEFORE, "the load to flow");
  const beganMs = performance.now();
  for (const signal of options.signals) {
    program.signal(signal);
    await new Promise((resolve) => setTimeout(resolve, random.next() * LONGEST_PAUSE_MS));
  }
  const end = await program.ended;
  const tookMs = performance.now() - beganMs;
  await load.stop();
  assert.deepEqual(end, { code: 0, signal: null }, program.err);
  assert.match(program.out, /\nstopped\n$/);
  assert.ok(tookMs <= options.withinMs, `the stop took ${tookMs} ms, ${options.withinMs} were allowed`);
  const told = [...load.turnedAway, ...load.sent.map(({ reply }) => reply)].filter((reply) => reply.startsWith("421"));
  assert.ok(told.length > 0, "clients heard 421");
  // Only where a mail host did not answer in time may a message have been given up while it was on its way.
  const cutMs = options.latencyMs > options.withinMs ? [beganMs + tookMs] : [];
  const evidence = async () => ({
    sent: load.sent,
    sink,
    log: readEvidence(dir),
    spool: await readSpool(dir),
    deathsMs: cutMs,
  });
  const stopped = judge(await evidence(), false);
  sink.answerAtOnce();
  const again = await scene.start();
  await drained(again.where, DRAIN_MS);
  assert.equal((await again.program.stop()).code, 0);
  const summary = judge(await evidence(), true);
  return `${options.signals.join(" ")}: stopped after ${tookMs.toFixed(0)} ms with ${stopped.waiting} waiting, ${told.length} × 421; then ${describeSummary(summary)}`;
}

/** Signals in the middle of a start that has mail to find; afterwards everything is there. */
export function stopWhileStarting(seed: number, tries: number, tell: (line: string) => void): Promise<string> {
  const random = new SeededRandom(seed);
  return Scene.play({ latencyMs: 20, random }, (scene) => playStarts(scene, random, tries, tell));
}

async function playStarts(scene: Scene, random: Random, tries: number, tell: (line: string) => void): Promise<string> {
  const { dir, sink } = scene;
  const load = new Load({ ...MIXED, wrong: 0, random });
  // Nobody listens there: everything waits.
  const options = { workers: 2, queue: 'retry_interval = "1s"\nmax_retry_interval = "1s"' };
  writeConfig(dir, { ...options, to: "127.0.0.1:1" });
  const first = await scene.start();
  load.run(first.where.smtp);
  await until(() => load.accepted >= ACCEPTED_BEFORE, "mail to wait");
  await load.stop();
  const beganMs = performance.now();
  assert.equal((await first.program.stop()).code, 0);
  tell(`a stop with ${load.accepted} waiting took ${(performance.now() - beganMs).toFixed(0)} ms`);
  const spool = join(dir, "var", "spool");
  let inOrder = 0;
  let startMs = 0;
  for (let i = 0; i <= tries; i++) {
    const launchedMs = performance.now();
    const program = scene.launch();
    if (i === 0) {
      await program.ready();
      startMs = performance.now() - launchedMs;
    } else if (i % 3 === 1) {
      await new Promise((resolve) => setTimeout(resolve, startMs * (0.1 + random.next())));
    } else {
      // With its spool in hand a start is under way for certain.
      await until(() => program.gone || spoolOwner(spool) === program.child.pid, "the start to begin");
      await new Promise((resolve) => setTimeout(resolve, random.next() * LONGEST_PAUSE_MS));
    }
    program.signal("SIGHUP");
    program.signal(i % 2 === 0 ? "SIGTERM" : "SIGINT");
    const end = await program.ended;
    // Before the program runs, the system's own answer to a signal is the program's.
    const early = end.signal !== null && program.err === "";
    assert.ok(early || end.code === 0, `${end.code ?? end.signal}: ${program.err}`);
    if (!early) inOrder++;
  }
  assert.ok(inOrder > tries / 2, `${inOrder} of ${tries} ended in order`);
  writeConfig(dir, { ...options, to: `127.0.0.1:${sink.port}` });
  const last = await scene.start();
  await drained(last.where, DRAIN_MS);
  assert.equal((await last.program.stop()).code, 0);
  const evidence = { sent: load.sent, sink, log: readEvidence(dir), spool: await readSpool(dir), deathsMs: [] };
  const summary = judge(evidence, true);
  return `${tries + 1} signals during a start, ${inOrder} ended in order; then ${describeSummary(summary)}`;
}
