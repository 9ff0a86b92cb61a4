import { assert } from "../base/assert.js";
import type { Fault } from "../base/fault.js";
import type { AddonModule } from "./addon-module.js";
import type { Relay, RelayStart } from "./binding.js";
import type { AddonConnection } from "./connection.js";
import { socketFault } from "./faults.js";

/**
 * Two of the reactor's sockets, joined inside the kernel, see `native/relay.h`.
 * Runs on: the reactor's thread.
 * Owns: both sockets, until it ends.
 * When full: the slower side sets the pace.
 * On failure: `onEnd` with the fault, once; both are closed then.
 */
export class AddonRelay implements Relay {
  readonly #addon: AddonModule;
  readonly #reactor: number;
  readonly #slot: number;
  readonly #peers: string;
  readonly #onEnd: (fault: Fault | null) => void;
  readonly #gone: () => void;
  /** What was counted when it ended; null while it runs. */
  #final: readonly [number, number] | null = null;

  private constructor(
    addon: AddonModule,
    reactor: number,
    [first, second]: readonly [AddonConnection, AddonConnection],
    onEnd: (fault: Fault | null) => void,
    gone: () => void,
  ) {
    this.#addon = addon;
    this.#reactor = reactor;
    this.#slot = first.slot;
    this.#peers = `${first.remoteAddress} and ${second.remoteAddress}`;
    this.#onEnd = onEnd;
    this.#gone = gone;
  }

  /**
   * @param gone called when both sockets are closed.
   * @throws {Fault} `socket.failed` when they cannot be joined.
   */
  static begin(
    addon: AddonModule,
    reactor: number,
    ends: readonly [AddonConnection, AddonConnection],
    start: RelayStart,
    onEnd: (fault: Fault | null) => void,
    gone: () => void,
  ): AddonRelay {
    assert(ends[0].isJoinable && ends[1].isJoinable, "a relay begins when what was written has left");
    const result = addon.relay(reactor, ends[0].slot, ends[1].slot, start.toFirst, start.toSecond);
    if (result < 0) throw socketFault("relay to", ends[1].remoteAddress, addon.errnoName(-result));
    for (const end of ends) end.leaveToRelay();
    return new AddonRelay(addon, reactor, ends, onEnd, gone);
  }

  get toFirstBytes(): number {
    return this.#final?.[0] ?? this.#addon.relayBytes(this.#reactor, this.#slot, 1);
  }

  get toSecondBytes(): number {
    return this.#final?.[1] ?? this.#addon.relayBytes(this.#reactor, this.#slot, 0);
  }

  destroy(): void {
    if (this.#final !== null) return;
    this.#final = [this.toFirstBytes, this.toSecondBytes];
    this.#addon.endRelay(this.#reactor, this.#slot);
    this.#gone();
  }

  /** The addon has said that it is over. */
  takeEnd(errno: number): void {
    this.destroy();
    this.#onEnd(errno === 0 ? null : socketFault("relay between", this.#peers, this.#addon.errnoName(errno)));
  }
}
