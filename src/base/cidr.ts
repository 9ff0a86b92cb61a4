import { assert } from "./assert.js";

/**
 * IP addresses and networks in text, compared without a socket library: who may relay, where mail may not go.
 *
 * Every address is kept as four 32-bit words in IPv6 order. An IPv4 address stands in its mapped place
 * (`::ffff:a.b.c.d`, RFC 4291 §2.5.5.2), so that `::ffff:127.0.0.1` and `127.0.0.1` are one address: a rule against
 * the one cannot be passed by writing the other.
 */
export interface IpAddress {
  /** True for an IPv4 address, also when it was written as a mapped IPv6 one. */
  readonly v4: boolean;
  readonly words: readonly [number, number, number, number];
}

/** A network: its first address, and how many leading bits of the 128 count. */
export interface IpNetwork {
  readonly base: IpAddress;
  /** 0–128; an IPv4 prefix has 96 added. */
  readonly bits: number;
}

/** The word before an IPv4 address in its mapped form. */
const MAPPED_WORD = 0xffff;
const MAPPED_BITS = 96;

/** One dotted quad as a 32-bit number, or -1. Strict: four decimal parts, none with a leading zero. */
function parseQuad(text: string): number {
  const match = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/.exec(text);
  if (match === null) return -1;
  let value = 0;
  for (let i = 1; i <= 4; i++) {
    const part = Number(match[i]);
    if (part > 255) return -1;
    value = value * 256 + part;
  }
  return value;
}

/** The 16-bit groups of one side of `::`, a dotted quad at the end counting as two; null when one is malformed. */
function parseGroups(text: string): number[] | null {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i];
    if (i === parts.length - 1 && part.includes(".")) {
      const quad = parseQuad(part);
      if (quad < 0) return null;
      groups.push(quad >>> 16, quad & 0xffff);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return null;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

/** The eight groups of an IPv6 address, or null. */
function parseEightGroups(text: string): number[] | null {
  const gap = text.indexOf("::");
  if (gap < 0) {
    const groups = parseGroups(text);
    return groups !== null && groups.length === 8 ? groups : null;
  }
  const before = text.slice(0, gap);
  const head = before.includes(".") ? null : parseGroups(before);
  const tail = parseGroups(text.slice(gap + 2));
  if (head === null || tail === null) return null;
  const missing = 8 - head.length - tail.length;
  if (missing < 1) return null;
  return [...head, ...new Array<number>(missing).fill(0), ...tail];
}

/**
 * Reads an IPv4 or IPv6 address (RFC 4291 §2.2). A zone (`%eth0`) is dropped: rules speak of addresses, not interfaces.
 * Returns null for anything else, including IPv4 with leading zeros, which other programs read as octal.
 */
export function parseIp(text: string): IpAddress | null {
  if (text.length > 64) return null;
  if (!text.includes(":")) {
    const quad = parseQuad(text);
    return quad < 0 ? null : { v4: true, words: [0, 0, MAPPED_WORD, quad] };
  }
  const zone = text.indexOf("%");
  const groups = parseEightGroups(zone < 0 ? text : text.slice(0, zone));
  if (groups === null) return null;
  const word = (i: number): number => ((groups[i] << 16) | groups[i + 1]) >>> 0;
  const words = [word(0), word(2), word(4), word(6)] as const;
  return { v4: words[0] === 0 && words[1] === 0 && words[2] === MAPPED_WORD, words };
}

/** The part of word `index` (0–3) that counts in a network of `bits` bits. */
function maskOf(bits: number, index: number): number {
  const inWord = Math.min(32, Math.max(0, bits - index * 32));
  return inWord === 0 ? 0 : (0xffffffff << (32 - inWord)) >>> 0;
}

/**
 * Reads a network (`10.0.0.0/8`, `2001:db8::/32`, RFC 4632 §3.1) or a single address. Strict: the bits behind the prefix
 * are zero, for `10.1.2.3/8` is more likely a slip than a wish. Returns null when it is neither.
 */
export function parseNetwork(text: string): IpNetwork | null {
  const slash = text.indexOf("/");
  const written = slash < 0 ? text : text.slice(0, slash);
  const base = written.includes("%") ? null : parseIp(written);
  if (base === null) return null;
  const short = !written.includes(":");
  const most = short ? 32 : 128;
  let prefix = most;
  if (slash >= 0) {
    const digits = text.slice(slash + 1);
    if (!/^(0|[1-9]\d{0,2})$/.test(digits)) return null;
    prefix = Number(digits);
    if (prefix > most) return null;
  }
  const bits = short ? prefix + MAPPED_BITS : prefix;
  for (let i = 0; i < 4; i++) {
    if ((base.words[i] & ~maskOf(bits, i)) !== 0) return null;
  }
  return { base, bits };
}

/** Whether `address` lies in `network`. Families do not mix: `::/0` holds no IPv4 address. */
export function inNetwork(network: IpNetwork, address: IpAddress): boolean {
  if (network.base.v4 !== address.v4) return false;
  for (let i = 0; i < 4; i++) {
    const mask = maskOf(network.bits, i);
    if (((address.words[i] ^ network.base.words[i]) & mask) !== 0) return false;
  }
  return true;
}

/** A list of networks, read once and asked often. The lists are short (tens), so it is walked. */
export class NetworkSet {
  readonly #networks: readonly IpNetwork[];

  /**
   * @param texts networks and addresses as {@link parseNetwork} reads them.
   * @throws {Panic} when one is malformed: the configuration checks them before.
   */
  constructor(texts: readonly string[]) {
    this.#networks = texts.map((text) => {
      const network = parseNetwork(text);
      assert(network !== null, "a list of networks was not checked before it was used");
      return network;
    });
  }

  /** Whether the address written in `text` lies in one of the networks; false when it is no address. */
  has(text: string): boolean {
    if (this.#networks.length === 0) return false;
    const address = parseIp(text);
    if (address === null) return false;
    for (const network of this.#networks) {
      if (inNetwork(network, address)) return true;
    }
    return false;
  }
}
