import { assert } from "../base/assert.js";
import type { QueueRef, WorkerIndex } from "../base/brands.js";
import type { PoolConfig, QueueConfig } from "../config/compiled.js";
import { parseQueueName } from "../protocol/queue-name.js";
import type { Agenda } from "./agenda.js";
import { EmptyQueues } from "./empty-queues.js";
import type { Policy } from "./ports.js";
import { ScheduledQueue } from "./scheduled-queue.js";
import { compilePool, type Pool } from "./source-choice.js";

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
  readonly #empty = new EmptyQueues();
  /** What was made of each pool's configuration: one object for all of its queues. */
  readonly #pools = new WeakMap<PoolConfig, Pool>();
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

  /** A reload has given the queue other options. One that is empty with another reap interval begins it anew. */
  reconfigured(queue: ScheduledQueue, before: QueueConfig, nowMs: number): void {
    if (queue.rows > 0 || queue.config.reapIntervalMs === before.reapIntervalMs) return;
    queue.emptyLink.leave();
    this.emptied(queue, nowMs);
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

  /** A worker has given a name a number. The queue itself comes, or is found, with its first message. */
  name(worker: WorkerIndex, ref: QueueRef, name: string): void {
    this.#names[worker][ref] = name;
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
    this.#empty.add(queue);
    if (this.#empty.length > MAX_EMPTY) this.#reap(this.#empty.longest() as ScheduledQueue);
  }

  /** When the next queue is to be reaped; Infinity when none is empty. */
  nextReapMs(): number {
    return this.#empty.nextMs();
  }

  /** Removes queues that have been empty for their reap interval, at most `max`; returns how many. */
  reap(nowMs: number, max: number): number {
    for (let reaped = 0; reaped < max; reaped++) {
      const queue = this.#empty.due(nowMs);
      if (queue === null) return reaped;
      this.#reap(queue);
    }
    return max;
  }

  #create(name: string): ScheduledQueue {
    const handle = this.#freeHandles.pop() ?? this.#byHandle.length;
    const parts = parseQueueName(name);
    const config = this.#policy.queue(parts);
    const queue = new ScheduledQueue(handle, name, parts, config, this.poolOf(config.egressPool));
    queue.epoch = this.epoch;
    this.#byHandle[handle] = queue;
    this.#byName.set(name, queue);
    return queue;
  }

  /** A pool of the configuration in force; each is compiled once. */
  poolOf(name: string): Pool {
    const config = this.#policy.pool(name);
    const known = this.#pools.get(config);
    if (known !== undefined) return known;
    const pool = compilePool(config);
    this.#pools.set(config, pool);
    return pool;
  }

  #reap(queue: ScheduledQueue): void {
    queue.gone = true;
    queue.emptyLink.leave();
    queue.agendaLink.leave();
    for (const lane of queue.lanes) lane?.unpark();
    this.#agenda.queueAlarms.clear(queue.alarm);
    this.#byName.delete(queue.name);
    this.#byHandle[queue.handle] = null;
    this.#freeHandles.push(queue.handle);
  }
}
