/** Longest wait for a peer to take anything of what was written, ms; less where the command's own time is less. */
const WRITE_TIMEOUT_MS = 60_000;

/** Watches whether a peer takes what we write. A slow one is alive; one that takes nothing at all is waited for this long. */
export class WriteWait {
  #pending = 0;
  #movedMs = 0;

  /**
   * Looks at the bytes that have not left yet. Returns the limit, ms, when none has left for so long; null otherwise.
   * @param commandMs how long the reply to the command may take.
   */
  exceeded(pendingBytes: number, nowMs: number, commandMs: number): number | null {
    if (pendingBytes === 0 || pendingBytes !== this.#pending) this.#movedMs = nowMs;
    this.#pending = pendingBytes;
    const limitMs = Math.min(commandMs, WRITE_TIMEOUT_MS);
    return pendingBytes > 0 && nowMs - this.#movedMs >= limitMs ? limitMs : null;
  }
}
