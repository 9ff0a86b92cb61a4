import { Chain, type Link } from "./links.js";

/** How many picks a lower class is passed over before it gets one. */
const PATIENCE = 16;

/**
 * Chains of one priority each, the highest first. A higher priority goes before a lower one, but not for ever: when
 * lower classes have been passed over sixteen times in a row, one of them, each in its turn, is served once. So low
 * priority means at least a sixteenth and never starvation.
 */
export class PriorityRing<T> {
  readonly #classes: { readonly priority: number; readonly chain: Chain<T> }[] = [];
  #passedOver = 0;
  #turn = 0;

  /** Members of all classes; a walk over the classes, which are few. */
  get length(): number {
    let length = 0;
    for (let i = 0; i < this.#classes.length; i++) length += this.#classes[i].chain.length;
    return length;
  }

  /** Adds at the end of its class; does nothing when the link is in a chain. */
  add(link: Link<T>, priority: number): void {
    if (link.chain === null) this.#chainOf(priority).append(link);
  }

  /** Adds at the front of its class; does nothing when the link is in a chain. */
  addFirst(link: Link<T>, priority: number): void {
    if (link.chain === null) this.#chainOf(priority).prepend(link);
  }

  /** The first chain that is not empty; null when all are. */
  first(): Chain<T> | null {
    for (let i = 0; i < this.#classes.length; i++) {
      if (this.#classes[i].chain.first !== null) return this.#classes[i].chain;
    }
    return null;
  }

  /** The chain whose first member is to be served now; null when all are empty. */
  serve(): Chain<T> | null {
    const highest = this.first();
    if (this.#classes.length < 2 || highest === null || !this.#hasBelow(highest)) return highest;
    if (++this.#passedOver < PATIENCE) return highest;
    this.#passedOver = 0;
    return this.#nextBelow(highest);
  }

  #hasBelow(highest: Chain<T>): boolean {
    for (let i = this.#classes.length - 1; this.#classes[i].chain !== highest; i--) {
      if (this.#classes[i].chain.first !== null) return true;
    }
    return false;
  }

  #nextBelow(highest: Chain<T>): Chain<T> {
    for (;;) {
      this.#turn = (this.#turn + 1) % this.#classes.length;
      const { chain } = this.#classes[this.#turn];
      if (chain !== highest && chain.first !== null) return chain;
    }
  }

  #chainOf(priority: number): Chain<T> {
    let at = 0;
    while (at < this.#classes.length && this.#classes[at].priority > priority) at++;
    if (this.#classes[at]?.priority !== priority) this.#classes.splice(at, 0, { priority, chain: new Chain<T>() });
    return this.#classes[at].chain;
  }
}
