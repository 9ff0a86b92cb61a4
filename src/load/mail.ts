import type { Clock } from "../base/clock.js";
import { type Random, randomInt } from "../base/random.js";
import { numberedLocal } from "../base/times-file.js";
import type { DomainShare, LoadOptions, SizeShare } from "./options.js";

/** One message to send. */
export interface Mail {
  /** Counts the messages of a run from 1. */
  readonly number: number;
  readonly recipient: string;
  /** The headers with the blank line behind them. */
  readonly head: string;
  /** The body and the end of data; shared by all messages of its size, never changed. */
  readonly body: Buffer;
  /** Content in bytes as SIZE counts it (RFC 1870). */
  readonly bytes: number;
}

const END_OF_DATA = ".\r\n";
const LINE_CHARS = 76;
/** Filler without dots, so that no line needs a second one. */
const FILLER =
  "The courier leaves the post town at dawn, runs to the next one and hands his box to the man who waits there; " +
  "so letters cross the mountains in three days, whatever the weather, and nobody on the road needs to know more " +
  "than the name of the next station and the hour at which the box is expected there, ";
const LOCAL_CHARS = 12;
/** In a domain's name: the message's number, counted from 0. */
const RUNNING = "{n}";
const LETTERS = "abcdefghijklmnopqrstuvwxyz";

/** Text of exactly `bytes` bytes in lines of 76 characters, the last one shorter; 1 is impossible and becomes 2. */
export function fillerText(bytes: number): string {
  if (bytes <= 0) return "";
  let text = "";
  let at = 0;
  let left = Math.max(2, bytes);
  while (left > 0) {
    // A single byte cannot be a line: the line before it takes it.
    const room = left === LINE_CHARS + 3 ? LINE_CHARS + 1 : Math.min(LINE_CHARS, left - 2);
    let line = FILLER.slice(at, at + room);
    if (line.length < room) line += FILLER.slice(0, room - line.length);
    at = (at + room) % FILLER.length;
    text += `${line}\r\n`;
    left -= room + 2;
  }
  return text;
}

/** Draws among items in proportion to their weights. */
class Weighted<T> {
  readonly #items: readonly T[];
  readonly #tops: readonly number[];

  constructor(shares: readonly { readonly weight: number; readonly item: T }[]) {
    let sum = 0;
    this.#items = shares.map((share) => share.item);
    this.#tops = shares.map((share) => (sum += share.weight));
  }

  draw(random: Random): T {
    if (this.#items.length === 1) return this.#items[0] as T;
    const drawn = random.next() * (this.#tops.at(-1) as number);
    let low = 0;
    let high = this.#tops.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (drawn < (this.#tops[middle] as number)) high = middle;
      else low = middle + 1;
    }
    return this.#items[low] as T;
  }
}

interface Shape {
  readonly body: Buffer;
  readonly bytes: number;
}

/** What messages are made from. */
export type MailOptions = Pick<LoadOptions, "sizes" | "domains" | "headers" | "sender" | "helo" | "times">;

/**
 * Makes the messages of a load. Each has its own recipient, number, date and Message-ID; the body of each size is made
 * once. All heads have the same length (the subject makes up for shorter domains), so that sizes are exact.
 */
export class MailMaker {
  readonly #random: Random;
  readonly #clock: Clock;
  readonly #domains: Weighted<DomainShare>;
  readonly #shapes: Weighted<Shape>;
  readonly #before: string;
  readonly #behind: string;
  readonly #longestDomain: number;
  readonly #run: string;
  readonly #helo: string;
  readonly #numbered: boolean;
  #number = 0;
  #dateAtSecond = 0;
  #date = "";

  constructor(options: MailOptions, random: Random, clock: Clock) {
    this.#random = random;
    this.#clock = clock;
    this.#domains = new Weighted(options.domains.map((item) => ({ item, weight: item.weight })));
    // A running number has ten digits at most.
    this.#longestDomain = options.domains.reduce((most, { name }) => {
      return Math.max(most, name.length + (name.includes(RUNNING) ? 10 - RUNNING.length : 0));
    }, 0);
    this.#numbered = options.times !== null;
    this.#run = this.#letters(8);
    this.#helo = options.helo;
    this.#before = `From: <${options.sender}>\r\nTo: <`;
    const fixed = ["MIME-Version: 1.0", "Content-Type: text/plain; charset=us-ascii", ...options.headers];
    this.#behind = `${fixed.join("\r\n")}\r\n\r\n`;
    const headBytes = this.#head(this.#letters(LOCAL_CHARS), options.domains[0] as DomainShare).length;
    const shapeOf = (size: SizeShare) => ({ item: shape(size.bytes, headBytes), weight: size.weight });
    this.#shapes = new Weighted(options.sizes.map(shapeOf));
  }

  /** The next message. */
  next(): Mail {
    const domain = numbered(this.#domains.draw(this.#random), this.#number);
    this.#number++;
    const local = this.#numbered ? numberedLocal(this.#number) : this.#letters(LOCAL_CHARS);
    const { body, bytes } = this.#shapes.draw(this.#random);
    const recipient = `${local}@${domain.name}`;
    return { number: this.#number, recipient, head: this.#head(local, domain), body, bytes };
  }

  #head(local: string, domain: DomainShare): string {
    const number = String(this.#number).padStart(10, "0");
    const pad = "-".repeat(Math.max(0, this.#longestDomain - domain.name.length));
    return (
      `${this.#before}${local}@${domain.name}>\r\nSubject: Message ${number} ${pad}\r\nDate: ${this.#today()}\r\n` +
      `Message-ID: <${number}.${this.#run}@${this.#helo}>\r\n${this.#behind}`
    );
  }

  /** The date in the form of RFC 5322 §3.3, made once a second. */
  #today(): string {
    const second = Math.floor(this.#clock.wallMs() / 1000);
    if (second !== this.#dateAtSecond) {
      this.#dateAtSecond = second;
      this.#date = new Date(second * 1000).toUTCString().replace("GMT", "+0000");
    }
    return this.#date;
  }

  #letters(count: number): string {
    let text = "";
    for (let i = 0; i < count; i++) text += LETTERS[randomInt(this.#random, 0, LETTERS.length - 1)];
    return text;
  }
}

/** A domain of its own for each message where the name says so. */
function numbered(domain: DomainShare, number: number): DomainShare {
  return domain.name.includes(RUNNING) ? { ...domain, name: domain.name.replace(RUNNING, String(number)) } : domain;
}

/** A clock that stands still: all dates have one length. */
const STOPPED: Clock = { monoMs: () => 0, steadyMs: () => 0, wallMs: () => 1_800_000_000_000 };

/** What the headers of such messages take, which is the smallest that one can be, in bytes. */
export function smallestMail(options: MailOptions): number {
  const maker = new MailMaker({ ...options, sizes: [{ bytes: 1, weight: 1 }] }, { next: () => 0 }, STOPPED);
  return maker.next().bytes;
}

/** Why the sizes cannot be had with these headers; null when they can. */
export function sizeRefusal(options: MailOptions): string | null {
  const smallest = smallestMail(options);
  const wanted = options.sizes.find(({ bytes }) => bytes < smallest);
  if (wanted === undefined) return null;
  return `--size ${wanted.bytes}: the headers of a message take ${smallest} bytes, so that is the smallest size`;
}

function shape(bytes: number, headBytes: number): Shape {
  const filler = fillerText(bytes - headBytes);
  return { body: Buffer.from(filler + END_OF_DATA, "latin1"), bytes: headBytes + filler.length };
}

/** Characters of an RSA-2048 signature in base64, a space after every 76. */
const SIGNATURE = `${`${"Nq3xT8vKf0Yb".repeat(6)}Wm5s `.repeat(4)}${"Hd7+".repeat(9)}Zc==`;

/** A header as long as a signature with an RSA-2048 key and the usual fields, in folded lines. It verifies nowhere. */
export const DKIM_SIZED_HEADER =
  "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=generator.invalid; s=load;\r\n" +
  "\tt=1700000000; h=From:To:Subject:Date:Message-ID:MIME-Version:Content-Type;\r\n" +
  `\tbh=${"Lk9/".repeat(10)}Qw8=;\r\n\tb=${SIGNATURE.replaceAll(" ", "\r\n\t ")}`;
