import { LINGER_SWEEP_MS } from "./limits.js";

/**
 * Connections that have said everything and wait for their peer to end; those that wait too long are destroyed.
 * Runs on: the reactor's thread.
 * Owns: one timer while somebody waits.
 * When full: bounded by the connections.
 * On failure: nothing here can fail.
 */
export class Lingering<Member extends { destroy(): void }> {
  readonly #waiting = new Set<Member>();
  /** Those that already waited at the last sweep. */
  #waitingLong: Member[] = [];
  #sweep: NodeJS.Timeout | null = null;

  add(member: Member): void {
    this.#waiting.add(member);
    this.#sweep ??= setInterval(() => this.#sweepNow(), LINGER_SWEEP_MS);
  }

  remove(member: Member): void {
    this.#waiting.delete(member);
  }

  stop(): void {
    if (this.#sweep !== null) clearInterval(this.#sweep);
    this.#sweep = null;
  }

  #sweepNow(): void {
    for (const member of this.#waitingLong) {
      if (this.#waiting.has(member)) member.destroy();
    }
    this.#waitingLong = [...this.#waiting];
    if (this.#waitingLong.length === 0) this.stop();
  }
}
