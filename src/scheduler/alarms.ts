/** One point in time at which its owner wants to be looked at. A path has one, however much it waits for. */
export class Alarm<T> {
  readonly owner: T;
  /** Steady clock, ms; Infinity when not set. */
  atMs = Number.POSITIVE_INFINITY;
  /** Position in the heap, −1 when not set. */
  slot = -1;

  constructor(owner: T) {
    this.owner = owner;
  }
}

/** Alarms in order of time: a binary heap. Bounded by the number of owners. */
export class Alarms<T> {
  readonly #heap: Alarm<T>[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** When the first one rings, Infinity when none is set. */
  nextMs(): number {
    return this.#heap.length === 0 ? Number.POSITIVE_INFINITY : (this.#heap[0] as Alarm<T>).atMs;
  }

  /** Has the alarm ring at `atMs` at the latest. The owner looks at what is due and asks again for the rest. */
  ringBy(alarm: Alarm<T>, atMs: number): void {
    if (atMs >= alarm.atMs) return;
    alarm.atMs = atMs;
    if (alarm.slot < 0) {
      alarm.slot = this.#heap.length;
      this.#heap.push(alarm);
    }
    this.#rise(alarm);
  }

  /** Takes the alarm out. */
  clear(alarm: Alarm<T>): void {
    if (alarm.slot < 0) return;
    const last = this.#heap.pop() as Alarm<T>;
    if (last !== alarm) {
      this.#put(last, alarm.slot);
      this.#rise(last);
      this.#sink(last);
    }
    alarm.slot = -1;
    alarm.atMs = Number.POSITIVE_INFINITY;
  }

  /** Takes out one alarm whose time has come and returns its owner; null when there is none. */
  ring(nowMs: number): T | null {
    const first = this.#heap[0];
    if (first === undefined || first.atMs > nowMs) return null;
    this.clear(first);
    return first.owner;
  }

  #rise(alarm: Alarm<T>): void {
    while (alarm.slot > 0) {
      const parent = this.#heap[(alarm.slot - 1) >> 1] as Alarm<T>;
      if (parent.atMs <= alarm.atMs) return;
      this.#swap(parent, alarm);
    }
  }

  #sink(alarm: Alarm<T>): void {
    for (;;) {
      const left = this.#heap[2 * alarm.slot + 1];
      const right = this.#heap[2 * alarm.slot + 2];
      const least = right !== undefined && left !== undefined && right.atMs < left.atMs ? right : left;
      if (least === undefined || least.atMs >= alarm.atMs) return;
      this.#swap(alarm, least);
    }
  }

  #swap(upper: Alarm<T>, lower: Alarm<T>): void {
    const slot = upper.slot;
    this.#put(upper, lower.slot);
    this.#put(lower, slot);
  }

  #put(alarm: Alarm<T>, slot: number): void {
    this.#heap[slot] = alarm;
    alarm.slot = slot;
  }
}
