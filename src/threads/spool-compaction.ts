/**
 * Has every worker compact its shards, and gathers what became of them.
 *
 * Runs on   the main thread
 * Owns      the request under way
 * When full one request at a time: whoever asks meanwhile gets the same answer
 * On failure a worker that cannot be told, or dies, is an error in the answer; the others go on
 */
import type { ShardCompaction, UpMessage } from "../protocol/messages.js";
import type { Supervisor } from "./supervisor.js";

/** What became of a spool that was to be compacted. */
export interface SpoolCompactionReport {
  readonly shards: readonly ShardCompaction[];
  /** Workers that did not do what they were asked to, one line each. */
  readonly errors: readonly string[];
}

interface Request {
  readonly number: number;
  readonly waiting: Set<number>;
  readonly shards: ShardCompaction[];
  readonly errors: string[];
  readonly done: (report: SpoolCompactionReport) => void;
  readonly promise: Promise<SpoolCompactionReport>;
}

/** See the file's header. */
export class SpoolCompaction {
  readonly #supervisor: Supervisor;
  readonly #workers: number;
  readonly #notice: (line: string) => void;
  #request: Request | null = null;
  #lastNumber = 0;

  constructor(supervisor: Supervisor, workers: number, notice: (line: string) => void) {
    this.#supervisor = supervisor;
    this.#workers = workers;
    this.#notice = notice;
  }

  /** Resolves when every worker has compacted its shards, or could not. */
  run(): Promise<SpoolCompactionReport> {
    if (this.#request !== null) return this.#request.promise;
    let done: Request["done"] = () => {};
    const promise = new Promise<SpoolCompactionReport>((resolve) => {
      done = resolve;
    });
    const number = ++this.#lastNumber;
    const request: Request = { number, waiting: new Set(), shards: [], errors: [], done, promise };
    this.#request = request;
    for (let index = 0; index < this.#workers; index++) {
      if (this.#supervisor.tell(index, { kind: "compact", request: number })) request.waiting.add(index);
      else request.errors.push(`worker ${index} cannot be told now`);
    }
    this.#look();
    return promise;
  }

  /** A worker says what became of a shard. */
  compacted(index: number, message: Extract<UpMessage, { kind: "compacted" }>): void {
    const { kind: _, request, left, ...result } = message;
    this.#notice(lineOf(result));
    if (this.#request === null || this.#request.number !== request) return;
    this.#request.shards.push(result);
    if (left === 0) this.#request.waiting.delete(index);
    this.#look();
  }

  /** A worker died. */
  lost(index: number): void {
    if (this.#request?.waiting.delete(index) !== true) return;
    this.#request.errors.push(`worker ${index} died`);
    this.#look();
  }

  #look(): void {
    const request = this.#request;
    if (request === null || request.waiting.size > 0) return;
    this.#request = null;
    request.done({ shards: request.shards.sort((a, b) => a.shard - b.shard), errors: request.errors });
  }
}

function lineOf({ shard, beforeBytes, afterBytes, heldMs, error }: ShardCompaction): string {
  const what = `spool shard ${shard}:`;
  if (error !== null) return `${what} not compacted: ${error}`;
  return `${what} compacted from ${beforeBytes} to ${afterBytes} bytes; its mail waited ${heldMs.toFixed(0)} ms`;
}
