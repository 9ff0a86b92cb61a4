/**
 * Sessions of TLS that servers let us resume, so that the next connection to them costs no signatures.
 *
 * Runs on   a worker
 * Owns      at most MAX_SESSIONS sessions, each with what its server had proved when it began
 * When full the one that was noted first is forgotten
 * On failure a server that does not know a session any more does a whole handshake
 */

import type { TlsFailure } from "./tls-failure.js";

const MAX_SESSIONS = 2000;
/** After so long a server proves anew who it is. */
const SESSION_MS = 30 * 60_000;

/** A session that can be resumed. */
export interface KnownSession {
  /** As Node gives it. */
  readonly session: Buffer;
  /** What the server's certificate lacked; null for nothing. */
  readonly lacks: TlsFailure | null;
  readonly subject: readonly string[];
  /** When the server last proved who it is. */
  readonly provedMs: number;
}

/** See the file's header. Keys name everything that what was proved depends on. */
export class Resumption {
  readonly #sessions = new Map<string, KnownSession>();

  /** A session to offer; null for none. */
  get(key: string, nowMs: number): KnownSession | null {
    const known = this.#sessions.get(key);
    if (known === undefined) return null;
    if (nowMs - known.provedMs < SESSION_MS) return known;
    this.#sessions.delete(key);
    return null;
  }

  /** Keeps the latest session of a server. */
  put(key: string, known: KnownSession): void {
    this.#sessions.delete(key);
    if (this.#sessions.size >= MAX_SESSIONS) {
      const [oldest] = this.#sessions.keys();
      if (oldest !== undefined) this.#sessions.delete(oldest);
    }
    this.#sessions.set(key, known);
  }

  /** A handshake with it failed. */
  drop(key: string): void {
    this.#sessions.delete(key);
  }

  /** Forgets all of them: memory is short. */
  clear(): void {
    this.#sessions.clear();
  }
}
