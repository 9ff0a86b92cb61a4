/**
 * Finds workers that spin: no turn for longer than `watchdog_timeout`, and processor time used meanwhile.
 *
 * Runs on   the main thread, a look a few times per time-out
 * Owns      per worker how long it has been silent, and what it had used when that began
 * When full one entry per worker
 * On failure where processor time cannot be read, silence alone counts
 *
 * Two kinds of silence are nobody's fault. A worker that waits (for a slow disk, for its share of the processor) uses no
 * processor time; it is told of, and left alone. And when the whole process stood still, the main thread did too: a look
 * never counts for more than two intervals, however long ago the last one was.
 */

/** What a look at a worker found: `waits` and `spins` are said once per silence. */
export type Finding = "well" | "waits" | "spins";

interface Watched {
  beats: number;
  silentMs: number;
  cpuMs: number | null;
  told: boolean;
}

/** See the file's header. */
export class Watchdog {
  readonly intervalMs: number;
  readonly #timeoutMs: number;
  readonly #cpuMs: (osThread: number) => number | null;
  readonly #watched = new Map<number, Watched>();
  #lookedMs: number | null = null;
  #stepMs = 0;

  /** @param cpuMs processor time that a thread has used, null when it cannot be told. */
  constructor(timeoutMs: number, cpuMs: (osThread: number) => number | null) {
    this.#timeoutMs = timeoutMs;
    this.intervalMs = Math.min(1000, timeoutMs / 4);
    this.#cpuMs = cpuMs;
  }

  /** Begins a round of looks, at this monotonic time. */
  begin(nowMs: number): void {
    const since = this.#lookedMs === null ? 0 : nowMs - this.#lookedMs;
    this.#stepMs = Math.min(since, 2 * this.intervalMs);
    this.#lookedMs = nowMs;
  }

  /** Looks at a worker. `beats` is a number that it changes with every turn. */
  look(worker: number, beats: number, osThread: number): Finding {
    const watched = this.#watched.get(worker);
    if (watched === undefined || watched.beats !== beats) {
      this.#watched.set(worker, { beats, silentMs: 0, cpuMs: null, told: false });
      return "well";
    }
    watched.silentMs += this.#stepMs;
    watched.cpuMs ??= this.#cpuMs(osThread);
    if (watched.silentMs < this.#timeoutMs) return "well";
    const used = this.#cpuMs(osThread);
    if (used === null || watched.cpuMs === null || used - watched.cpuMs >= this.#timeoutMs / 2) {
      this.#watched.delete(worker);
      return "spins";
    }
    if (watched.told) return "well";
    watched.told = true;
    return "waits";
  }

  /** A worker that is not to be watched now: it starts, ends, or does something that may take long. */
  pass(worker: number): void {
    this.#watched.delete(worker);
  }
}
