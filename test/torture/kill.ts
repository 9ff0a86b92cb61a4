/**
 * The server is killed with SIGKILL under load, again and again on one directory, at moments drawn or chosen to hurt: in
 * its start, just after a client heard 250, just after a mail host said 250.
 */
import { type Random, randomInt, SeededRandom } from "../../src/base/random.js";
import { writeConfig } from "../support/server.js";
import { readEvidence, readSpool } from "./evidence.js";
import { Load, MAX_MESSAGE_BYTES, MIXED } from "./load.js";
import { drained } from "./program.js";
import { Scene } from "./scene.js";
import type { RecordingSink } from "./sink.js";
import { judge, type Summary } from "./verdict.js";

/** How often and how. */
export interface KillOptions {
  readonly seed: number;
  readonly rounds: number;
  readonly durability: "flushed" | "committed" | "deferred";
  readonly workers: number;
  /** See `Evidence`. */
  readonly longestWindowMs?: number;
}

/** What the disks are asked after every so many deaths; at the end always. */
const AUDIT_EVERY = 7;
/** Longest life of a server after it was ready. */
const LONGEST_LIFE_MS = 600;
const DRAIN_MS = 60_000;
/** Segments of the log are small, so that rotation and compression are hit too. */
const LOG = '[log]\nmax_file_size = 200000\nmax_segment_duration = "1s"';

type Moment = "start" | "drawn" | "client-250" | "remote-250";

function drawMoment(random: Random): Moment {
  const drawn = random.next();
  return drawn < 0.15 ? "start" : drawn < 0.4 ? "drawn" : drawn < 0.65 ? "client-250" : "remote-250";
}

/** Runs the rounds, then lets the queue drain, and judges. Throws when a rule is broken; the directory then stays. */
export function killRounds(options: KillOptions, tell: (line: string) => void): Promise<Summary> {
  const random = new SeededRandom(options.seed);
  return Scene.play({ latencyMs: 40, random }, (scene) => playRounds(scene, random, options, tell));
}

async function playRounds(
  scene: Scene,
  random: Random,
  options: KillOptions,
  tell: (line: string) => void,
): Promise<Summary> {
  const { dir, sink } = scene;
  const load = new Load({ ...MIXED, random });
  const deathsMs: number[] = [];
  writeConfig(dir, {
    to: `127.0.0.1:${sink.port}`,
    workers: options.workers,
    durability: options.durability,
    queue: 'retry_interval = "1s"\nmax_retry_interval = "1s"',
    listener: `max_message_size = ${MAX_MESSAGE_BYTES}`,
    more: LOG,
  });
  const evidence = async () => ({
    sent: load.sent,
    sink,
    log: readEvidence(dir),
    spool: await readSpool(dir),
    deathsMs,
    mayLose: options.durability === "deferred",
    longestWindowMs: options.longestWindowMs ?? Number.POSITIVE_INFINITY,
  });
  let startMs = 1000;
  for (let round = 1; round <= options.rounds; round++) {
    const moment = round === 1 ? "drawn" : drawMoment(random);
    const beganMs = performance.now();
    const program = scene.launch();
    if (moment === "start") {
      await new Promise((resolve) => setTimeout(resolve, random.next() * startMs * 1.1));
    } else {
      const where = await program.ready();
      if (where === null) throw new Error(`round ${round}: the server did not start: ${program.err}`);
      startMs = performance.now() - beganMs;
      load.run(where.smtp);
      await reached(moment, random, load, sink);
    }
    // In the same turn of the event loop as what it was waited for.
    program.child.kill("SIGKILL");
    deathsMs.push(performance.now());
    await Promise.all([program.ended, load.stop()]);
    if (round % AUDIT_EVERY === 0) tell(`after ${round} deaths: ${judge(await evidence(), false).accepted} accepted`);
  }
  const { program, where } = await scene.start();
  await drained(where, DRAIN_MS);
  const end = await program.stop();
  if (end.code !== 0) throw new Error(`the last stop ended with ${end.code ?? end.signal}: ${program.err}`);
  return judge(await evidence(), true);
}

/** Resolves when the moment has come, or the longest life is over. */
function reached(moment: Moment, random: Random, load: Load, sink: RecordingSink): Promise<void> {
  return new Promise((resolve) => {
    const lifeMs = moment === "drawn" ? random.next() * LONGEST_LIFE_MS : 2 * LONGEST_LIFE_MS;
    let left = moment === "drawn" ? Number.POSITIVE_INFINITY : randomInt(random, 1, 150);
    const come = (): void => {
      clearTimeout(timer);
      load.onAccepted = () => {};
      sink.onAccepted = () => {};
      resolve();
    };
    const count = (): void => void (--left === 0 && come());
    const timer = setTimeout(come, lifeMs);
    if (moment === "client-250") load.onAccepted = count;
    if (moment === "remote-250") sink.onAccepted = count;
  });
}
