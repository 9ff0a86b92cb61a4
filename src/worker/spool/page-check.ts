import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from "node:fs";
import { causeOf, errnoOf, Fault } from "../../base/fault.js";

/**
 * Reads a shard's database file page by page before LMDB maps it. LMDB trusts its file: a wrong meta page, a branch to
 * nowhere or a file cut short ends the whole process (or leaves out rows without a word), where a spool must say what
 * is wrong and keep its hands off. So the trees are walked here with plain reads: every page's own number, kind and
 * bounds, every node's place, the order of keys, and the number of entries that the tree claims.
 *
 * One thing is mended instead: the header of a large value's first page, of which the tree knows every byte. LMDB would
 * free whatever number of pages a damaged one names; mended, only that one body fails its checksum.
 *
 * Layout (LMDB data version 2 as lmdb-js builds it, 64 bit, little endian):
 *
 *     page   0 u64 number · 8 u64 transaction · 16 u16 pad · 18 u16 kind · 20 u16 lower · 22 u16 upper · 24 node offsets
 *     meta  24 u32 magic · 28 u32 version · 48 tree of free pages · 96 main tree · 144 u64 last page · 152 u64 transaction
 *     tree   0 u32 (page size, in the first) · 6 u16 depth · 32 u64 entries · 40 u64 root
 *     node   0 u32 size of value, or 0 u48 page · 4 u16 flags · 6 u16 size of key · 8 key · value
 */
const PAGE_HEADER = 24;
const META_MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const FREE_TREE = 48;
const MAIN_TREE = 96;
const LAST_PAGE = 144;
const META_TRANSACTION = 152;
const META_BYTES = 168;
const TREE_BYTES = 48;
const KIND_BRANCH = 1;
const KIND_LEAF = 2;
const KIND_OVERFLOW = 4;
const KIND_META = 8;
const KIND_MASK = 0x2f;
const NODE_BIG = 1;
const NODE_TREE = 2;
const NO_PAGE = 0xffff_ffff_ffff_ffffn;
/** Deeper than any tree that fits a disk. */
const MAX_DEPTH = 32;
/** Its keys are numbers in the machine's order, not bytes in order. */
const FREE_NAME = "the tree of free pages";

/** What the check found: sizes for the start's log line. */
export interface PageReport {
  readonly pages: number;
  readonly entries: number;
  /** Headers of large values that were damaged and written anew. */
  readonly mended: number;
}

/**
 * Checks the database file at `path`, which nobody may be writing to. Time is linear in the file's leaf pages
 * (bench/micro/replay.ts shows it).
 * @throws {Fault} `spool.damaged` with the first thing that is wrong; `spool.unwritable` when the file cannot be read.
 */
export function checkPages(path: string): PageReport {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    throw new Fault("spool.unwritable", `cannot read ${path}: ${causeOf(error)}`, { errno: errnoOf(error) });
  }
  try {
    const walk = new PageWalk(path, file);
    const report = walk.run();
    if (walk.mends.length > 0) mend(path, walk.mends);
    return report;
  } finally {
    closeSync(file);
  }
}

/** A page header that is to be written at a place in the file. */
interface Mend {
  readonly at: number;
  readonly header: Buffer;
}

function mend(path: string, mends: readonly Mend[]): void {
  try {
    const file = openSync(path, "r+");
    try {
      for (const { at, header } of mends) writeSync(file, header, 0, header.length, at);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw new Fault("spool.unwritable", `cannot mend ${path}: ${causeOf(error)}`, { errno: errnoOf(error) });
  }
}

/** An unsigned number of 64 bits; inexact above 2^53, where every use here fails anyway. */
function wide(buffer: Buffer, at: number): number {
  return buffer.readUInt32LE(at) + buffer.readUInt32LE(at + 4) * 0x1_0000_0000;
}

class PageWalk {
  readonly #path: string;
  readonly #file: number;
  readonly #fileBytes: number;
  /** One page per level of the tree, reused. */
  readonly #levels: Buffer[] = [];
  #pageBytes = 4096;
  #lastPage = 0;
  /** One bit per page: a page in two places of the trees is damage, and the walk always ends. */
  #seen = new Uint8Array(0);
  #pages = 0;
  #entries = 0;
  readonly #overflow = Buffer.alloc(PAGE_HEADER);
  readonly mends: Mend[] = [];

  constructor(path: string, file: number) {
    this.#path = path;
    this.#file = file;
    this.#fileBytes = fstatSync(file).size;
  }

  run(): PageReport {
    const meta = this.#newestMeta();
    this.#lastPage = wide(meta, LAST_PAGE);
    if (this.#lastPage * this.#pageBytes > this.#fileBytes * 4 + 0x4000_0000)
      this.#fail("names pages far beyond its end");
    this.#seen = new Uint8Array((this.#lastPage >>> 3) + 1);
    this.#tree(meta.subarray(FREE_TREE, FREE_TREE + TREE_BYTES), FREE_NAME, 0, false);
    this.#tree(meta.subarray(MAIN_TREE, MAIN_TREE + TREE_BYTES), "the main tree", 0, true);
    return { pages: this.#pages, entries: this.#entries, mended: this.mends.length };
  }

  #newestMeta(): Buffer {
    const first = this.#meta(0, 0);
    this.#pageBytes = first.readUInt32LE(FREE_TREE);
    const size = this.#pageBytes;
    if (size < 512 || size > 0x10000 || (size & (size - 1)) !== 0) this.#fail(`gives a page size of ${size}`);
    const second = this.#meta(1, size);
    return wide(second, META_TRANSACTION) > wide(first, META_TRANSACTION) ? second : first;
  }

  #meta(index: number, at: number): Buffer {
    const page = Buffer.alloc(META_BYTES);
    if (readSync(this.#file, page, 0, META_BYTES, at) !== META_BYTES) this.#fail(`ends inside meta page ${index}`);
    const kind = page.readUInt16LE(18);
    if ((kind & KIND_META) === 0 || page.readUInt32LE(24) !== META_MAGIC) {
      this.#fail(`has no LMDB meta page ${index}`);
    }
    const version = page.readUInt32LE(28) & 0xffff;
    if (version !== DATA_VERSION) this.#fail(`is of LMDB data version ${version}, not ${DATA_VERSION}`);
    return page;
  }

  #tree(record: Buffer, name: string, level: number, hasTrees: boolean): void {
    const claimed = wide(record, 32);
    const depth = record.readUInt16LE(6);
    if (record.readBigUInt64LE(40) === NO_PAGE) {
      if (claimed !== 0) this.#fail(`says that ${name} has ${claimed} entries but no root`);
      return;
    }
    if (depth === 0 || depth > MAX_DEPTH) this.#fail(`gives ${name} a depth of ${depth}`);
    const found = this.#page(wide(record, 40), depth, level, name, hasTrees);
    if (found !== claimed) this.#fail(`holds ${found} entries in ${name} where ${claimed} should be`);
  }

  /** Walks the page `pageNumber`, `depth` levels above nothing; returns the entries below it. */
  #page(pageNumber: number, depth: number, level: number, name: string, hasTrees: boolean): number {
    const page = this.#read(pageNumber, level, name);
    const kind = page.readUInt16LE(18) & KIND_MASK;
    if (kind !== (depth === 1 ? KIND_LEAF : KIND_BRANCH))
      this.#fail(`has page ${pageNumber} of kind ${kind} in ${name}`);
    const lower = page.readUInt16LE(20);
    const upper = page.readUInt16LE(22);
    const room = this.#pageBytes - PAGE_HEADER;
    if ((lower & 1) !== 0 || lower > upper || upper > room) this.#fail(`has page ${pageNumber} with impossible bounds`);
    const nodes = lower >>> 1;
    if (nodes === 0) this.#fail(`has an empty page ${pageNumber} in ${name}`);
    let entries = 0;
    let keyAt = 0;
    let keyBytes = 0;
    for (let i = 0; i < nodes; i++) {
      const offset = page.readUInt16LE(PAGE_HEADER + 2 * i);
      const at = PAGE_HEADER + offset;
      if (offset < upper || at + 8 > this.#pageBytes) this.#fail(`has page ${pageNumber} with a node out of bounds`);
      const bytes = page.readUInt16LE(at + 6);
      if (at + 8 + bytes > this.#pageBytes) this.#fail(`has page ${pageNumber} with a key out of bounds`);
      // The first key of a branch page stands for "all below" and may be empty.
      if (i > (depth === 1 ? 0 : 1)) {
        const order = page.compare(page, at + 8, at + 8 + bytes, keyAt, keyAt + keyBytes);
        if (order >= 0 && name !== FREE_NAME) this.#fail(`has page ${pageNumber} with keys out of order`);
      }
      keyAt = at + 8;
      keyBytes = bytes;
      if (depth === 1) {
        this.#leafNode(page, pageNumber, at, bytes, hasTrees, level, name);
        entries++;
      } else {
        const child = page.readUInt32LE(at) + page.readUInt16LE(at + 4) * 0x1_0000_0000;
        entries += this.#page(child, depth - 1, level + 1, name, hasTrees);
      }
    }
    if (depth === 1) this.#entries += entries;
    return entries;
  }

  #leafNode(
    page: Buffer,
    pageNumber: number,
    at: number,
    keyBytes: number,
    hasTrees: boolean,
    level: number,
    tree: string,
  ): void {
    const flags = page.readUInt16LE(at + 4);
    const valueBytes = page.readUInt32LE(at);
    const valueAt = at + 8 + keyBytes;
    const inPage = (flags & NODE_BIG) !== 0 ? 24 : valueBytes;
    if (valueAt + inPage > this.#pageBytes) this.#fail(`has page ${pageNumber} with a value out of bounds`);
    const isFree = tree === FREE_NAME;
    if ((flags & NODE_BIG) !== 0)
      this.#largeValue(page.subarray(valueAt, valueAt + 24), valueBytes, pageNumber, isFree);
    else if (isFree) this.#freeList(page.subarray(valueAt, valueAt + valueBytes));
    if (hasTrees) {
      if ((flags & NODE_TREE) === 0 || valueBytes !== TREE_BYTES)
        this.#fail("holds something unknown in the main tree");
      const record = Buffer.from(page.subarray(valueAt, valueAt + TREE_BYTES));
      // Below this leaf's level, so that its page is not overwritten while its other nodes are still to come.
      const name = `database "${page.toString("latin1", at + 8, valueAt)}"`.replace(/[^\x20-\x7e]/g, "");
      this.#tree(record, name, level + 1, false);
    }
  }

  /** `place`: u64 first page, u64 transaction, u64 pages. */
  #largeValue(place: Buffer, bytes: number, pageNumber: number, isFree: boolean): void {
    const first = wide(place, 0);
    const pages = wide(place, 16);
    const size = this.#pageBytes;
    if (pages < 1 || pages * size < bytes + PAGE_HEADER || first < 2 || first + pages - 1 > this.#lastPage) {
      this.#fail(`has page ${pageNumber} with a large value out of bounds`);
    }
    const at = first * size;
    if (at + pages * size > this.#fileBytes) this.#fail("is cut short: a large value lies beyond its end");
    const header = this.#overflow;
    readSync(this.#file, header, 0, PAGE_HEADER, at);
    const sound =
      header.compare(place, 0, 8, 0, 8) === 0 &&
      (header.readUInt16LE(18) & KIND_MASK) === KIND_OVERFLOW &&
      header.readUInt32LE(20) === pages;
    if (isFree) {
      if (!sound) this.#fail(`has something else where page ${first} should be`);
      const list = Buffer.alloc(bytes);
      readSync(this.#file, list, 0, bytes, at + PAGE_HEADER);
      this.#freeList(list);
    } else if (!sound) {
      const right = Buffer.alloc(PAGE_HEADER);
      place.copy(right, 0, 0, 16);
      right.writeUInt16LE(KIND_OVERFLOW, 18);
      right.writeUInt32LE(pages, 20);
      this.mends.push({ at, header: right });
    }
  }

  /** A list of free pages: its length, then page numbers, with 0 for holes and negative lengths of runs. */
  #freeList(list: Buffer): void {
    const count = list.length >= 8 ? wide(list, 0) : -1;
    if (count < 0 || (count + 1) * 8 > list.length) this.#fail("has a list of free pages that is too short");
    for (let i = 1; i <= count; i++) {
      const low = list.readUInt32LE(8 * i);
      const high = list.readInt32LE(8 * i + 4);
      const value = high * 0x1_0000_0000 + low;
      if (value > this.#lastPage || value < -this.#lastPage) this.#fail("has an impossible list of free pages");
    }
  }

  #read(pageNumber: number, level: number, name: string): Buffer {
    if (pageNumber < 2 || pageNumber > this.#lastPage)
      this.#fail(`points to page ${pageNumber} of ${this.#lastPage} in ${name}`);
    const bit = 1 << (pageNumber & 7);
    if ((this.#seen[pageNumber >>> 3]! & bit) !== 0) this.#fail(`uses page ${pageNumber} twice`);
    this.#seen[pageNumber >>> 3]! |= bit;
    const page = (this.#levels[level] ??= Buffer.alloc(this.#pageBytes));
    const got = readSync(this.#file, page, 0, this.#pageBytes, pageNumber * this.#pageBytes);
    if (got !== this.#pageBytes) this.#fail(`is cut short: page ${pageNumber} lies beyond its end`);
    if (wide(page, 0) !== pageNumber) this.#fail(`has something else where page ${pageNumber} should be`);
    this.#pages++;
    return page;
  }

  #fail(what: string): never {
    throw new Fault(
      "spool.damaged",
      `${this.#path} ${what}; it is left as it is: repair it or restore it from a backup`,
    );
  }
}
