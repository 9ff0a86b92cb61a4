import type { Fault } from "../base/fault.js";
import type { ConnectionHandler } from "./binding.js";

/** What a turn does with a connection, whichever reactor it is of. */
export interface TurnMember {
  readonly handler: ConnectionHandler;
  /** What `onClose` is told. */
  readonly fault: Fault | null;
  /** Kept by the turn: is among those to flush. */
  isDirty: boolean;
  /** Sends what is queued. Calls no handler. */
  flush(): void;
  /** Whether `onDrain` is still due; asking clears it. */
  takeDrain(): boolean;
}

/**
 * The end of each batch of events, the same for both reactors:
 *
 *     handlers have run ──▶ onDrain, onClose that are due ──▶ onTurn ──▶ flush
 *
 * A turn without a batch comes by `setImmediate`, once for any number of requests, and not when a batch was faster.
 *
 * Runs on: the reactor's thread.
 * Owns: the lists of connections to flush, to tell of room, to tell of their end.
 * When full: a connection is on each list at most once, so the lists are bounded by the connections.
 * On failure: what a handler throws goes through to the caller; the lists stay good.
 */
export class Turn<Member extends TurnMember> {
  readonly #onTurn: () => void;
  readonly #afterFlush: () => void;
  #dirty: Member[] = [];
  #drained: Member[] = [];
  #closed: Member[] = [];
  /** Handlers run, or `onTurn`, or the flush: what they leave to do is seen to when they are done. */
  #isRunning = false;
  /** `onTurn` will run anyway before this turn is over. */
  #isDue = false;
  #isRequested = false;
  #isStopped = false;
  /** Connections that have not been told of their end. */
  size = 0;

  /** @param afterFlush called when nothing that was written lies in the turn's own memory any more. */
  constructor(onTurn: () => void, afterFlush: () => void) {
    this.#onTurn = onTurn;
    this.#afterFlush = afterFlush;
  }

  /** Has a turn run soon. */
  request(): void {
    if (this.#isRequested || this.#isDue) return;
    this.#isRequested = true;
    setImmediate(this.#runRequested);
  }

  noteDirty(member: Member): void {
    if (member.isDirty) return;
    member.isDirty = true;
    this.#dirty.push(member);
    if (!this.#isRunning) this.request();
  }

  noteDrained(member: Member): void {
    this.#drained.push(member);
    if (!this.#isRunning) this.request();
  }

  noteClosed(member: Member): void {
    this.#closed.push(member);
    if (!this.#isRunning) this.request();
  }

  /** From now on ends are still told, but nothing is flushed and `onTurn` is not called. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Runs `batch`, which calls handlers, and then the rest of the turn. */
  run(batch: (count: number) => void, count: number): void {
    this.#isRunning = true;
    this.#isDue = true;
    try {
      batch(count);
      this.#end();
    } finally {
      this.#isRunning = false;
      this.#isDue = false;
    }
    // onTurn and the flush may have closed or drained connections, whose handlers are called in a turn of their own.
    if (this.#closed.length > 0 || this.#drained.length > 0 || this.#dirty.length > 0) this.request();
  }

  readonly #runRequested = (): void => {
    if (this.#isRequested) this.run(noBatch, 0);
  };

  #end(): void {
    this.#isRequested = false;
    this.#callDrained();
    this.#callClosed();
    this.#isDue = false;
    const dirty = this.#dirty;
    if (this.#isStopped) {
      dirty.length = 0;
      return;
    }
    this.#onTurn();
    for (let i = 0; i < dirty.length; i++) {
      const member = dirty[i];
      member.isDirty = false;
      member.flush();
    }
    dirty.length = 0;
    this.#afterFlush();
  }

  #callDrained(): void {
    if (this.#drained.length === 0) return;
    const drained = this.#drained;
    this.#drained = [];
    for (const member of drained) {
      if (member.takeDrain()) member.handler.onDrain();
    }
  }

  #callClosed(): void {
    if (this.#closed.length === 0) return;
    const closed = this.#closed;
    this.#closed = [];
    for (const member of closed) {
      this.size--;
      member.handler.onClose(member.fault);
    }
  }
}

function noBatch(): void {}
