/** What one connection takes of a limit that several paths share. */
export interface Claim {
  readonly name: string;
  readonly limit: number;
}

interface SharedLimit<W> {
  used: number;
  /** Who was refused, in the order of their coming, with the limit that each asked with. */
  readonly waiting: Map<W, number>;
  /** Who was told that there is room and has not come yet: it is kept for them. */
  readonly called: Set<W>;
}

/**
 * What it is:  leases on named limits: so many connections at once, over all paths that name the limit.
 * Runs on:     wherever its owner runs.
 * Owns:        the counts, and who waits for one to fall.
 * When full:   a claim is refused; whoever waits is called once there is room, one after the other, and cannot be passed.
 * On failure:  nothing can fail here; a lease ends with its session, which its owner knows for certain.
 */
export class Leases<W> {
  readonly #byName = new Map<string, SharedLimit<W>>();

  /** Limits that are in use or waited for. */
  get size(): number {
    return this.#byName.size;
  }

  /** Leases of all names. */
  get total(): number {
    let total = 0;
    for (const { used } of this.#byName.values()) total += used;
    return total;
  }

  /** Leases of that name. */
  used(name: string): number {
    return this.#byName.get(name)?.used ?? 0;
  }

  /** Whether somebody waits for that limit and was not called yet. */
  waits(name: string, who: W): boolean {
    return this.#byName.get(name)?.waiting.has(who) ?? false;
  }

  /** Takes one lease of each claim, or of none: then the claim that was refused is returned. */
  take(claims: readonly Claim[], who: W): Claim | null {
    for (const claim of claims) if (!this.#hasRoom(claim, who)) return claim;
    for (const { name } of claims) {
      const limit = this.#limit(name);
      limit.used++;
      limit.called.delete(who);
      limit.waiting.delete(who);
    }
    return null;
  }

  /** Gives back what {@link take} took. Somebody may have waited for it: see {@link callNext}. */
  free(claims: readonly Claim[]): void {
    for (const { name } of claims) {
      const limit = this.#limit(name);
      limit.used--;
      this.#forget(name, limit);
    }
  }

  /** Puts somebody who was refused this claim among those who wait; who waits already keeps the place. */
  wait(claim: Claim, who: W): void {
    const limit = this.#limit(claim.name);
    limit.called.delete(who);
    limit.waiting.set(who, claim.limit);
  }

  /** Waits no more, or does not come although called. */
  leave(name: string, who: W): void {
    const limit = this.#byName.get(name);
    if (limit === undefined) return;
    limit.waiting.delete(who);
    limit.called.delete(who);
    this.#forget(name, limit);
  }

  /** Of each claim's limit, calls those who wait, in order, as far as there is room for them. */
  callNext(claims: readonly Claim[], call: (who: W) => void): void {
    for (const { name } of claims) {
      const limit = this.#byName.get(name);
      if (limit === undefined || limit.waiting.size === 0) continue;
      for (const [who, most] of limit.waiting) {
        if (limit.used + limit.called.size >= most) break;
        limit.waiting.delete(who);
        limit.called.add(who);
        call(who);
      }
    }
  }

  #hasRoom(claim: Claim, who: W): boolean {
    const limit = this.#byName.get(claim.name);
    if (limit === undefined) return true;
    const kept = limit.called.has(who) ? limit.called.size - 1 : limit.called.size;
    return limit.used + kept < claim.limit;
  }

  #limit(name: string): SharedLimit<W> {
    let limit = this.#byName.get(name);
    if (limit === undefined) {
      limit = { used: 0, waiting: new Map(), called: new Set() };
      this.#byName.set(name, limit);
    }
    return limit;
  }

  #forget(name: string, limit: SharedLimit<W>): void {
    if (limit.used === 0 && limit.waiting.size === 0 && limit.called.size === 0) this.#byName.delete(name);
  }
}
