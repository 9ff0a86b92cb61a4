/**
 * How many rows share a body, for bodies that several rows share. A body of one row is not listed: it goes with its row.
 *
 * Runs on: the owning worker. Owns: the counts of one shard; they are not stored, the scan at start finds them again.
 * When full: bounded by the messages in the spool. On failure: a count can only err upwards (a body left over, which the
 * next start removes), never downwards.
 */
export class BodyRefs {
  readonly #counts = new Map<number, number>();

  /** Notes a body that `count` rows share. */
  set(bodyKey: number, count: number): void {
    this.#counts.set(bodyKey, count);
  }

  /** Notes one more row, found by a scan. */
  add(bodyKey: number): void {
    this.#counts.set(bodyKey, (this.#counts.get(bodyKey) ?? 0) + 1);
  }

  has(bodyKey: number): boolean {
    return this.#counts.has(bodyKey);
  }

  /** Takes one row off; true when it was the last one, so that the body goes too. False also for a body not known. */
  release(bodyKey: number): boolean {
    const count = this.#counts.get(bodyKey);
    if (count === undefined) return false;
    if (count > 1) {
      this.#counts.set(bodyKey, count - 1);
      return false;
    }
    this.#counts.delete(bodyKey);
    return true;
  }

  /** Bodies that are shared now. */
  get size(): number {
    return this.#counts.size;
  }
}
