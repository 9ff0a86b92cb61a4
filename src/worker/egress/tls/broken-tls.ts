/**
 * Hosts whose TLS failed lately: opportunistic TLS leaves them in clear for a while.
 *
 * Runs on   a worker; each learns by itself
 * Owns      at most MAX_HOSTS names, each with the time at which it is forgotten
 * When full the one that was noted first is forgotten
 * On failure nothing can fail
 */

const MAX_HOSTS = 10_000;
/** What `opportunistic_tls_reconnect_on_failed_handshake` remembers when nothing else is said. */
export const DEFAULT_MEMORY_MS = 15 * 60_000;

/** See the file's header. */
export class BrokenTls {
  readonly #untilMs = new Map<string, number>();

  /** Notes that TLS with a host of a ready queue failed. */
  note(path: string, host: string, nowMs: number, forMs: number): void {
    if (forMs <= 0) return;
    const key = `${path}\n${host}`;
    this.#untilMs.delete(key);
    if (this.#untilMs.size >= MAX_HOSTS) {
      const [oldest] = this.#untilMs.keys();
      if (oldest !== undefined) this.#untilMs.delete(oldest);
    }
    this.#untilMs.set(key, nowMs + forMs);
  }

  /** Whether it is remembered. */
  has(path: string, host: string, nowMs: number): boolean {
    if (this.#untilMs.size === 0) return false;
    const key = `${path}\n${host}`;
    const until = this.#untilMs.get(key);
    if (until === undefined) return false;
    if (until > nowMs) return true;
    this.#untilMs.delete(key);
    return false;
  }
}
