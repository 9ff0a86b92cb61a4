/**
 * What each worker works on at this moment: noted before the work, wiped out after it. JavaScript runs one thing at a time,
 * so whatever a thread dies of, or spins in, its note names the message.
 *
 * Runs on   every thread; each worker writes its own cache line, the supervisor reads and wipes out those of the dead
 * Owns      nothing; the memory is a mapped file where the addon is there, so that the note outlives the process
 * When full nothing grows: a line per worker, as many as there can be
 * On failure a file that is not one of ours holds no notes
 *
 *     line 0      mark of the format, how the process died (0: no sign of it, see `DEATH_AT`), on which thread (`Culprit`)
 *     line 1 + w  shard × 8 + work (0: nothing in hand), key
 */
import type { ShardIndex, SpoolKey, WorkerIndex } from "../../base/brands.js";

const DOUBLES = 8;
const MARK = 0x68696b01;
/** Most workers of a server. */
export const MAX_WORKERS = 256;
/** Size of the memory. */
export const HANDS_BYTES: number = (1 + MAX_WORKERS) * DOUBLES * 8;
/**
 * Byte at which a process that dies of itself leaves the number of the signal, or {@link DIED_OF_A_BUG}; behind it follows the
 * line of the thread that died of the signal.
 */
export const DEATH_AT = 8;
/** Greater than any signal: an exception that nobody caught, or a broken invariant, ended it. */
export const DIED_OF_A_BUG = 1000;
/** More than there are kinds of {@link Work}. */
const WORKS = 8;

/** What is done with a message that is in hand. */
export enum Work {
  /** Its entry is read and unpacked. */
  reading = 1,
  /** A session does something about it. */
  sending = 2,
  /** What the scheduler decided is written down. */
  deciding = 3,
  /** A scan at the start takes its row apart and tells the scheduler. */
  announcing = 4,
  /** It is moved to quarantine. */
  settingAside = 5,
}

/** On which thread a process died: a worker, none of the workers, or it left no sign of it. */
export type Culprit = WorkerIndex | "none" | "unknown";

/** The line of a worker in the notes. */
export function lineOf(worker: WorkerIndex): number {
  return 1 + worker;
}

/** A note that was found. */
export interface Held {
  readonly shard: ShardIndex;
  readonly key: SpoolKey;
  readonly work: Work;
}

/** A worker's own line. Three stores per piece of work, nothing allocated. */
export class Hand {
  readonly #doubles: Float64Array;

  constructor(memory: ArrayBuffer | SharedArrayBuffer, worker: WorkerIndex) {
    this.#doubles = new Float64Array(memory, lineOf(worker) * DOUBLES * 8, DOUBLES);
  }

  /** This message is worked on from now on. Also replaces another one. */
  take(shard: ShardIndex, key: SpoolKey, work: Work): void {
    this.#doubles[1] = key;
    this.#doubles[0] = shard * WORKS + work;
  }

  /** The work is done. Not to be called on the way out of an exception: then the note must stay. */
  free(): void {
    this.#doubles[0] = 0;
  }
}

/** All lines, for whoever looks after the workers. */
export class Hands {
  readonly #doubles: Float64Array;

  constructor(memory: ArrayBuffer | SharedArrayBuffer) {
    this.#doubles = new Float64Array(memory, 0, HANDS_BYTES / 8);
  }

  /** Makes the memory one of ours, with no notes. */
  begin(): void {
    this.#doubles.fill(0);
    this.#doubles[0] = MARK;
  }

  /** How the process died that these notes are of: a signal's number, {@link DIED_OF_A_BUG}, 0 when it left no sign. */
  get death(): number {
    const cause = this.#doubles[DEATH_AT / 8] as number;
    return this.#doubles[0] === MARK && Number.isSafeInteger(cause) && cause > 0 ? cause : 0;
  }

  /** On which thread it died. What is no line of a worker's is none of them. */
  get culprit(): Culprit {
    const line = this.#doubles[DEATH_AT / 8 + 1] as number;
    if (line === 0 || this.death === 0 || this.death === DIED_OF_A_BUG) return "unknown";
    return Number.isInteger(line) && line > 0 && line <= MAX_WORKERS ? ((line - 1) as WorkerIndex) : "none";
  }

  /** This process is about to end of a bug of ours, this one. Returns it. */
  dyingOf<Bug>(bug: Bug): Bug {
    this.#doubles[DEATH_AT / 8] = DIED_OF_A_BUG;
    return bug;
  }

  /** What this worker has in hand, null for nothing. */
  held(worker: WorkerIndex): Held | null {
    const what = this.#doubles[lineOf(worker) * DOUBLES] as number;
    const key = this.#doubles[lineOf(worker) * DOUBLES + 1] as number;
    const work = what % WORKS;
    const sane =
      Number.isSafeInteger(what) && Number.isSafeInteger(key) && what > 0 && key > 0 && Work[work] !== undefined;
    if (!sane || this.#doubles[0] !== MARK) return null;
    return { shard: ((what - work) / WORKS) as ShardIndex, key: key as SpoolKey, work };
  }

  /** Wipes out the note of a worker that is dead. */
  clear(worker: WorkerIndex): void {
    this.#doubles[lineOf(worker) * DOUBLES] = 0;
  }
}
