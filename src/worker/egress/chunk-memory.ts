/** Most peers that are remembered; the one that was noted longest ago goes first. */
const MAX_PEERS = 4096;
/** How long a peer gets DATA after it mishandled BDAT. A server that was mended is found out about the same day. */
const AVOID_MS = 6 * 3600 * 1000;
/** Noted as a peer that BDAT works with: trouble with one message is not BDAT's then. */
const WORKS = 0;

/**
 * Which peers get DATA although they offer CHUNKING: those that did not understand BDAT, or were lost over the first one.
 *
 * Runs on: a worker, one for all its sessions. Owns: what is known of BDAT at each address, as long as it counts.
 * When full: the oldest note is forgotten; that peer is tried again. On failure: nothing can fail.
 */
export class ChunkMemory {
  /** By address and port: {@link WORKS}, or until when it is avoided, monotonic ms. In order of the notes' ages. */
  readonly #notes = new Map<string, number>();

  /** Whether BDAT may be used with this peer. */
  allows(peer: string, nowMs: number): boolean {
    return (this.#notes.get(peer) ?? WORKS) <= nowMs;
  }

  /** It took a message by BDAT, and nothing came of it. */
  worked(peer: string): void {
    if (this.#notes.get(peer) !== WORKS) this.#note(peer, WORKS);
  }

  /** The session was lost over a BDAT: when it has never worked there, BDAT is taken to be the reason. */
  lost(peer: string, nowMs: number): void {
    if (this.#notes.get(peer) !== WORKS) this.refused(peer, nowMs);
  }

  /** It does not understand BDAT, by its own word. */
  refused(peer: string, nowMs: number): void {
    this.#note(peer, nowMs + AVOID_MS);
  }

  /** Peers that something is noted of. */
  get size(): number {
    return this.#notes.size;
  }

  #note(peer: string, value: number): void {
    this.#notes.delete(peer);
    this.#notes.set(peer, value);
    if (this.#notes.size <= MAX_PEERS) return;
    for (const oldest of this.#notes.keys()) {
      this.#notes.delete(oldest);
      return;
    }
  }
}
