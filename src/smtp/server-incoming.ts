import { assert } from "../base/assert.js";
import type { BufferPool } from "../base/buffer-pool.js";
import { Content, type ReceivedContent } from "./content.js";
import { ContentFault, DotDecoder } from "./dot-decoder.js";
import type { Reply } from "./reply.js";
import { contentRefusal } from "./server-replies.js";
import { MAX_EXPECTED_OCTETS, type ServerSettings } from "./server-settings.js";

/**
 * A message's content on its way in: decoded, judged at its end, lent to the host until it is stored.
 *
 * Runs on: a worker, one per session.
 * Owns: the content's buffer and its decoder.
 * When full: a content that is too big is read to its end without being kept; `flooded` when even that goes too far.
 * On failure: what is wrong with a content is a refusal at its end.
 */
export class Incoming {
  readonly #settings: ServerSettings;
  readonly #content: Content;
  readonly #decoder: DotDecoder;
  /** The host holds the content, also when the session is already closed. */
  #lent = false;

  constructor(settings: ServerSettings, pool: BufferPool) {
    this.#settings = settings;
    this.#content = new Content(pool);
    this.#decoder = new DotDecoder(settings.decoder, this.#content);
  }

  /** The host holds the content. */
  get isLent(): boolean {
    return this.#lent;
  }

  /** The end of the content was seen. */
  get done(): boolean {
    return this.#decoder.done;
  }

  /** So much was read of a content that will be refused that the session should end. */
  get flooded(): boolean {
    return this.#decoder.faults !== ContentFault.none && this.#decoder.octets > this.#settings.maxDrainOctets;
  }

  /** Begins, with the size that the client declared; negative when it did not. */
  begin(declaredSize: number): void {
    this.#content.begin(Math.min(MAX_EXPECTED_OCTETS, Math.max(0, declaredSize)));
    this.#decoder.begin();
  }

  /** Takes `buffer[start, end)`; returns where the content ends in it, or `end`. */
  take(buffer: Buffer, start: number, end: number): number {
    return this.#decoder.decode(buffer, start, end);
  }

  /** What is wrong with the whole content, or null. */
  refusal(): Reply | null {
    return contentRefusal(this.#decoder.faults) ?? this.#settings.loopRefusal(this.#content);
  }

  /** Gives the content to the host. */
  lend(): ReceivedContent {
    this.#lent = true;
    return this.#content;
  }

  /** The host is done with the content. */
  takeBack(): void {
    assert(this.#lent, "a message was handed over");
    this.#lent = false;
    this.#content.clear();
  }

  /** Forgets what came in. Never while it is lent. */
  clear(): void {
    this.#content.clear();
  }
}
