import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { errnoOf, type Fault } from "../base/fault.js";
import type { Relay, RelayStart } from "./binding.js";
import { socketFault } from "./faults.js";

/** Silence after which the kernel asks a peer whether it is still there. */
const KEEP_ALIVE_MS = 300_000;

/**
 * Two streams that are joined: what Node's own sockets, and those with TLS, have instead of the addon's relay.
 * Runs on: the thread of its streams.
 * Owns: both, until it ends.
 * When full: the slower side sets the pace (`pipe`).
 * On failure: `onEnd` with the fault, once; both are destroyed then.
 */
export class StreamRelay implements Relay {
  toFirstBytes = 0;
  toSecondBytes = 0;
  readonly #ends: readonly Duplex[];
  readonly #onEnd: (fault: Fault | null) => void;
  #closed = 0;
  #isOver = false;

  /** Both let their peer end one direction alone (`allowHalfOpen`), and have not been listened to for data. */
  constructor(first: Duplex, second: Duplex, start: RelayStart, onEnd: (fault: Fault | null) => void) {
    this.#ends = [first, second];
    this.#onEnd = onEnd;
    for (const end of this.#ends) {
      if (end instanceof Socket) end.setKeepAlive(true, KEEP_ALIVE_MS);
      end.on("error", (error) => this.#finish(socketFault("relay between", "two peers", errnoOf(error) ?? "EUNKNOWN")));
      end.on("close", () => {
        this.#closed++;
        // One that has ended both ways may be gone while the other still takes what it said.
        const inOrder = end.readableEnded && end.writableFinished;
        if (!inOrder || this.#closed === this.#ends.length) this.#finish(null);
      });
    }
    this.toFirstBytes = start.toFirst.length;
    this.toSecondBytes = start.toSecond.length;
    if (start.toFirst.length > 0) first.write(Buffer.from(start.toFirst));
    if (start.toSecond.length > 0) second.write(Buffer.from(start.toSecond));
    first.on("data", (chunk: Buffer) => (this.toSecondBytes += chunk.length));
    second.on("data", (chunk: Buffer) => (this.toFirstBytes += chunk.length));
    first.pipe(second);
    second.pipe(first);
  }

  destroy(): void {
    this.#isOver = true;
    for (const end of this.#ends) end.destroy();
  }

  #finish(fault: Fault | null): void {
    if (this.#isOver) return;
    this.destroy();
    this.#onEnd(fault);
  }
}
