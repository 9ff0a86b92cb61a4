import { assert } from "../base/assert.js";

/** A place in a {@link Chain}, owned by the thing that is in it, so that joining and leaving allocate nothing. */
export class Link<T> {
  readonly owner: T;
  next: Link<T> | null = null;
  prev: Link<T> | null = null;
  chain: Chain<T> | null = null;

  constructor(owner: T) {
    this.owner = owner;
  }

  /** True while the owner is in a chain by this link. */
  get linked(): boolean {
    return this.chain !== null;
  }

  /** Leaves its chain, if it is in one. */
  leave(): void {
    this.chain?.remove(this);
  }
}

/** A doubly linked list of queues, paths, lanes or sessions; every step is O(1). */
export class Chain<T> {
  first: Link<T> | null = null;
  last: Link<T> | null = null;
  length = 0;

  /** Adds at the end. The link must be in no chain. */
  append(link: Link<T>): void {
    assert(link.chain === null, "a link is in one chain at most");
    link.chain = this;
    link.prev = this.last;
    link.next = null;
    if (this.last === null) this.first = link;
    else this.last.next = link;
    this.last = link;
    this.length++;
  }

  /** Adds at the front. The link must be in no chain. */
  prepend(link: Link<T>): void {
    assert(link.chain === null, "a link is in one chain at most");
    link.chain = this;
    link.prev = null;
    link.next = this.first;
    if (this.first === null) this.last = link;
    else this.first.prev = link;
    this.first = link;
    this.length++;
  }

  /** Adds at the end unless it is in a chain already. */
  ensure(link: Link<T>): void {
    if (link.chain === null) this.append(link);
  }

  remove(link: Link<T>): void {
    assert(link.chain === this, "a link leaves the chain it is in");
    if (link.prev === null) this.first = link.next;
    else link.prev.next = link.next;
    if (link.next === null) this.last = link.prev;
    else link.next.prev = link.prev;
    link.next = null;
    link.prev = null;
    link.chain = null;
    this.length--;
  }

  /** Moves the first to the end. */
  rotate(): void {
    const link = this.first;
    if (link === null || link === this.last) return;
    this.remove(link);
    this.append(link);
  }

  /** Takes the first out; null when empty. */
  shift(): T | null {
    const link = this.first;
    if (link === null) return null;
    this.remove(link);
    return link.owner;
  }
}
