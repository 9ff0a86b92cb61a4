import { networkInterfaces } from "node:os";
import { FailureClass } from "../../protocol/layout/frames.js";
import type { HostFailure } from "./verdict.js";

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

/**
 * What a whole plan failed of: the class that all of its addresses share, else `other`. EADDRNOTAVAIL has two meanings:
 * nobody has the source's address, or all of its ports are in use towards this destination; only the first is the
 * source's trouble.
 * @param source the address that connections leave from, null for the system's choice.
 */
export function failureOfPlan(
  failures: readonly HostFailure[],
  source: string | null,
  plumbing: Plumbing,
  nowMs: number,
): FailureClass {
  if (failures.length === 0) return FailureClass.ok;
  const classOf = ({ failure: { answer }, failureClass }: HostFailure): FailureClass => {
    if (failureClass !== undefined) return failureClass;
    if (answer.kind !== "transport" || answer.detail !== "EADDRNOTAVAIL" || source === null) return FailureClass.other;
    return plumbing.has(source, nowMs) ? FailureClass.other : FailureClass.unplumbed;
  };
  const first = classOf(failures[0] as HostFailure);
  return failures.every((one) => classOf(one) === first) ? first : FailureClass.other;
}

function addressesOfThisMachine(): ReadonlySet<string> {
  return new Set(
    Object.values(networkInterfaces())
      .flat()
      .map((one) => one?.address ?? ""),
  );
}
