/**
 * Messages that all workers are to hear, each of which must arrive: what finds a worker's ring full is kept and sent when
 * there is room.
 *
 * Runs on   the main thread
 * Owns      what is kept for each link, and one timer while something is
 * When full of messages of one kind about one shard only the last is kept: it is the one that counts
 * On failure what is kept for a worker that died is dropped; its successor is told by its start
 */
import type { DownMessage } from "../protocol/messages.js";
import type { WorkerLink } from "./worker-link.js";

/** How soon to look again whether there is room. */
const AGAIN_MS = 5;

/** See the file's header. */
export class Broadcast {
  readonly #kept = new Map<WorkerLink, Map<string, DownMessage>>();
  #timer: NodeJS.Timeout | null = null;

  /** Sends now where there is room, and soon where there is none. */
  send(links: Iterable<WorkerLink>, message: DownMessage): void {
    for (const link of links) {
      if (!link.send(message)) this.#keep(link, message);
      link.publish();
    }
    this.#arm();
  }

  #keep(link: WorkerLink, message: DownMessage): void {
    if (!link.alive) return;
    const kept = this.#kept.get(link) ?? new Map<string, DownMessage>();
    this.#kept.set(link, kept);
    kept.set(message.kind === "letGo" ? `letGo ${message.shard}` : message.kind, message);
  }

  #arm(): void {
    if (this.#kept.size === 0 || this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      for (const [link, kept] of this.#kept) this.#retry(link, kept);
      this.#arm();
    }, AGAIN_MS);
  }

  #retry(link: WorkerLink, kept: Map<string, DownMessage>): void {
    for (const [name, message] of kept) if (!link.alive || link.send(message)) kept.delete(name);
    link.publish();
    if (kept.size === 0) this.#kept.delete(link);
  }
}
