import { networkInterfaces } from "node:os";

/** How long the machine's list of addresses is believed. */
const KNOWN_MS = 1000;

/** Whether an interface of this machine has the address; asked of the system once a second at most. */
export class Plumbing {
  readonly #read: () => ReadonlySet<string>;
  #addresses: ReadonlySet<string> = new Set();
  #readMs = Number.NEGATIVE_INFINITY;

  constructor(read: () => ReadonlySet<string> = addressesOfThisMachine) {
    this.#read = read;
  }

  has(address: string, nowMs: number): boolean {
    if (nowMs - this.#readMs >= KNOWN_MS) {
      this.#readMs = nowMs;
      this.#addresses = this.#read();
    }
    return this.#addresses.has(address);
  }
}

function addressesOfThisMachine(): ReadonlySet<string> {
  return new Set(
    Object.values(networkInterfaces())
      .flat()
      .map((one) => one?.address ?? ""),
  );
}
