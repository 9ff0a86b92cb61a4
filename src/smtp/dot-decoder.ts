import { ContentScan, ContentState, type ScanContent, scanContent } from "../native/content-scan.js";
import type { Content } from "./content.js";

/**
 * Content after DATA, undone of its dots (RFC 5321 §4.5.2), out of chunks cut anywhere.
 *
 * Runs on: a worker, one decoder per connection in.
 * Owns: the place in the content between two chunks, and what was found wrong with it. The bytes are its {@link Content}'s.
 * When full: content past the size limit, or with a line past the line limit, is read to its true end and not kept.
 * On failure: nothing here fails; `fault` tells what the sender did, and the caller answers when the end has come.
 *
 * Only CR LF dot CR LF ends content. A bare CR or LF never does, and never begins a line for the protocol: either the
 * message is doomed (`denyBare`), or the content gets CR LF in its place, so that nobody after us can read it in
 * another way. The result does not depend on how the input is cut.
 */

/** Why a message will be refused at its end. The first of the list that applies is the one that is told. */
export const ContentFault = { none: 0, bareLineEnd: 1, nul: 2, tooBig: 4, longLine: 8 } as const;

/** What a listener takes; the same for all its sessions. */
export interface DecoderLimits {
  /** Most octets of content; 0 for no limit. */
  readonly maxOctets: number;
  /** Most octets of a line, its line end not counted. */
  readonly maxLineOctets: number;
  /** Refuse content with a bare CR or LF, instead of repairing it. */
  readonly denyBare: boolean;
  /** How content is scanned; by default the script does it. */
  readonly scan?: ScanContent;
}

const LF = 0x0a;
const CR = 0x0d;
const DOT = 0x2e;
const HIGH_BITS = 0x80808080 | 0;

/** Decodes one message after the other; see the head of this file. */
export class DotDecoder {
  /** Bits of {@link ContentFault}. */
  faults = 0;
  /** Octets of content so far, kept or not. */
  octets = 0;
  readonly #scan = new ContentScan();
  readonly #limits: DecoderLimits;
  readonly #content: Content;
  readonly #scanContent: ScanContent;
  #state: ContentState = ContentState.lineStart;

  constructor(limits: DecoderLimits, content: Content) {
    this.#limits = limits;
    this.#content = content;
    this.#scanContent = limits.scan ?? scanContent;
  }

  /** The end of data has been read. */
  get done(): boolean {
    return this.#state === ContentState.done;
  }

  /** Begins a message; its content must have been begun too. */
  begin(): void {
    this.faults = 0;
    this.octets = 0;
    this.#scan.reset();
    this.#state = ContentState.lineStart;
  }

  /**
   * Decodes `source[start, end)` and returns where it stopped: at `end`, or behind the end of data, and then `done`
   * is true and the content's fields are filled in.
   */
  decode(source: Buffer, start: number, end: number): number {
    const scan = this.#scan;
    const limits = this.#limits;
    let state = this.#state;
    let at = start;
    while (at < end && state !== ContentState.done) {
      const byte = source[at] as number;
      if (state === ContentState.lineStart && byte === DOT) {
        state = ContentState.dot;
        at++;
      } else if (state <= ContentState.text) {
        const from = at;
        at = this.#scanContent(source, from, end, scan);
        if (at > from) this.#keep(source, from, at);
        state = scan.state;
        if (state === ContentState.bareLf) {
          at++;
          state = this.#repair(true);
        }
      } else if (state === ContentState.cr) {
        if (byte === LF) {
          at++;
          this.#keepByte(LF);
          scan.endLine();
          state = ContentState.lineStart;
        } else {
          state = this.#repair(false);
        }
      } else if (state === ContentState.dot) {
        if (byte === CR) {
          state = ContentState.dotCr;
          at++;
        } else {
          // A line of the protocol that began with a dot; if another one follows, the content's line begins with that.
          if (byte === DOT) this.#content.hasDotLines = true;
          state = ContentState.text;
        }
      } else if (state === ContentState.dotCr) {
        if (byte === LF) {
          at++;
          state = ContentState.done;
        } else {
          state = this.#repair(true);
        }
      } else {
        // repaired: the content's line begins here, the protocol's does not, so that a dot is content and stays.
        if (byte === DOT) this.#content.hasDotLines = true;
        state = ContentState.text;
      }
    }
    this.#state = state;
    if (scan.nul) this.faults |= ContentFault.nul;
    if (scan.longestLine > limits.maxLineOctets || scan.lineLength > limits.maxLineOctets) {
      this.faults |= ContentFault.longLine;
    }
    if (this.faults !== ContentFault.none) {
      this.#content.clear();
    } else if (state === ContentState.done) {
      this.#content.has8bit = (scan.bits & HIGH_BITS) !== 0;
      this.#content.longestLine = scan.longestLine;
    }
    return at;
  }

  /** A bare CR (kept already, unless a dot was taken before it) or LF: the content gets a line end here. */
  #repair(withCr: boolean): ContentState {
    this.#scan.endLine();
    if (this.#limits.denyBare) {
      this.faults |= ContentFault.bareLineEnd;
    } else {
      this.#content.wasRepaired = true;
      if (withCr) this.#keepByte(CR);
      this.#keepByte(LF);
    }
    return ContentState.repaired;
  }

  #keep(source: Buffer, from: number, to: number): void {
    this.#count(to - from);
    if (this.faults === ContentFault.none) this.#content.append(source, from, to);
  }

  #keepByte(byte: number): void {
    this.#count(1);
    if (this.faults === ContentFault.none) this.#content.appendByte(byte);
  }

  #count(octets: number): void {
    this.octets += octets;
    if (this.octets > this.#limits.maxOctets && this.#limits.maxOctets > 0) this.faults |= ContentFault.tooBig;
  }
}
