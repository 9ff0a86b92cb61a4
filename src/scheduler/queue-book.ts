import { assert } from "../base/assert.js";
import type { QueueRef, WorkerIndex } from "../base/brands.js";
import { parseQueueName } from "../protocol/queue-name.js";
import type { Agenda } from "./agenda.js";
import { Chain } from "./links.js";
import type { Policy } from "./ports.js";
import { ScheduledQueue } from "./scheduled-queue.js";
import { compilePool } from "./source-choice.js";

/** Queues without messages that are kept for their next one; beyond this the one that is empty longest goes at once. */
const MAX_EMPTY = 20_000;

/**
 * What it is:  all scheduled queues, by handle, by name and by each worker's own numbers.
 * Runs on:     the scheduler's thread.
 * Owns:        the queues and their handles; the workers' numbers for queue names.
 * When full:   as many queues as have messages, and 20,000 empty ones: a flood of names cannot grow it further.
 * On failure:  nothing can fail; a worker that is lost takes its numbers with it.
 */
export class QueueBook {
  readonly #policy: Policy;
  readonly #agenda: Agenda;
  readonly #byName = new Map<string, ScheduledQueue>();
  /** From 1: handle 0 is nobody's. */
  readonly #byHandle: (ScheduledQueue | null)[] = [null];
  readonly #freeHandles: number[] = [];
  readonly #empty = new Chain<ScheduledQueue>();
  /** By worker, by number: the name, and the handle that it had when it was last used. */
  readonly #names: string[][];
  readonly #handles: number[][];

  /** The configuration in force, as `Core` counts them. */
  epoch = 0;

  constructor(policy: Policy, agenda: Agenda, workers: number) {
    this.#policy = policy;
    this.#agenda = agenda;
    this.#names = Array.from({ length: workers }, () => []);
    this.#handles = Array.from({ length: workers }, () => []);
  }

  get size(): number {
    return this.#byName.size;
  }

  /** A reload has given the queue another reap interval. */
  tend(queue: ScheduledQueue): void {
    if (queue.rows > 0) return;
    this.#agenda.queueAlarms.ringBy(queue.alarm, queue.emptySinceMs + queue.config.reapIntervalMs);
  }

  /** All queues, in the order in which they came up. */
  all(): IterableIterator<ScheduledQueue> {
    return this.#byName.values();
  }

  find(name: string): ScheduledQueue | undefined {
    return this.#byName.get(name);
  }

  at(handle: number): ScheduledQueue {
    return this.#byHandle[handle] as ScheduledQueue;
  }

  /** A worker has given a name a number. The queue itself comes with its first message. */
  name(worker: WorkerIndex, ref: QueueRef, name: string): void {
    this.#names[worker][ref] = this.#byName.get(name)?.name ?? name;
    this.#handles[worker][ref] = 0;
  }

  /** A worker's numbers are void. */
  forgetNames(worker: WorkerIndex): void {
    this.#names[worker] = [];
    this.#handles[worker] = [];
  }

  /** The queue that the worker means; made when it does not exist (any more). */
  of(worker: WorkerIndex, ref: QueueRef): ScheduledQueue {
    const name = this.#names[worker][ref];
    const known = this.#byHandle[this.#handles[worker][ref]];
    if (known !== null && known !== undefined && known.name === name) return known;
    assert(name !== undefined, "a queue is named before it is used");
    const queue = this.#byName.get(name) ?? this.#create(name);
    this.#names[worker][ref] = queue.name;
    this.#handles[worker][ref] = queue.handle;
    return queue;
  }

  /** A message has come to the queue. */
  filled(queue: ScheduledQueue): void {
    queue.emptyLink.leave();
  }

  /** The last message has left the queue. */
  emptied(queue: ScheduledQueue, nowMs: number): void {
    queue.emptySinceMs = nowMs;
    this.#empty.append(queue.emptyLink);
    this.#agenda.queueAlarms.ringBy(queue.alarm, nowMs + queue.config.reapIntervalMs);
    if (this.#empty.length > MAX_EMPTY) this.#reap((this.#empty.first as { owner: ScheduledQueue }).owner);
  }

  /**
   * Looks at queues whose alarm rings, at most `max`; returns how many. Removes those that have been empty for their reap
   * interval; `resume` is told of those for which a source can be chosen again.
   */
  ring(nowMs: number, max: number, resume: (queue: ScheduledQueue) => void): number {
    for (let seen = 0; seen < max; seen++) {
      const queue = this.#agenda.queueAlarms.ring(nowMs);
      if (queue === null) return seen;
      if (queue.resumeMs <= nowMs) resume(queue);
      else if (queue.resumeMs !== Number.POSITIVE_INFINITY) {
        this.#agenda.queueAlarms.ringBy(queue.alarm, queue.resumeMs);
      }
      if (queue.rows > 0) continue;
      const reapMs = queue.emptySinceMs + queue.config.reapIntervalMs;
      if (reapMs > nowMs) this.#agenda.queueAlarms.ringBy(queue.alarm, reapMs);
      else this.#reap(queue);
    }
    return max;
  }

  #create(name: string): ScheduledQueue {
    const handle = this.#freeHandles.pop() ?? this.#byHandle.length;
    const parts = parseQueueName(name);
    const config = this.#policy.queue(parts);
    const pool = compilePool(this.#policy.pool(config.egressPool));
    const queue = new ScheduledQueue(handle, name, parts, config, pool);
    queue.epoch = this.epoch;
    this.#byHandle[handle] = queue;
    this.#byName.set(name, queue);
    return queue;
  }

  #reap(queue: ScheduledQueue): void {
    queue.gone = true;
    queue.emptyLink.leave();
    queue.agendaLink.leave();
    for (const lane of queue.lanes) lane?.parkedLink.leave();
    this.#agenda.queueAlarms.clear(queue.alarm);
    this.#byName.delete(queue.name);
    this.#byHandle[queue.handle] = null;
    this.#freeHandles.push(queue.handle);
  }
}
