import type { Fault } from "../../base/fault.js";
import type { ConnectionHandler } from "../../native/binding.js";
import { type Hand, Work } from "../../protocol/layout/hands.js";
import type { EgressSession } from "./session.js";

/** Notes the message that a session has in hand, when it has one. */
export function noteHand(hand: Hand, session: EgressSession): void {
  const message = session.inHand;
  if (message !== undefined) hand.take(message.shard, message.key, Work.sending);
}

/**
 * Stands between a connection and its session: while the session deals with an event its message is noted, so that whoever
 * finds the thread dead knows what it died of. An event that throws leaves the note as it is.
 */
export class NotedHandler implements ConnectionHandler {
  readonly #session: EgressSession;
  readonly #handler: ConnectionHandler;
  readonly #hand: Hand;

  constructor(session: EgressSession, handler: ConnectionHandler, hand: Hand) {
    this.#session = session;
    this.#handler = handler;
    this.#hand = hand;
  }

  onConnect(): void {
    noteHand(this.#hand, this.#session);
    this.#handler.onConnect();
    this.#hand.free();
  }

  onData(buffer: Buffer, start: number, end: number): void {
    noteHand(this.#hand, this.#session);
    this.#handler.onData(buffer, start, end);
    this.#hand.free();
  }

  onEnd(): void {
    noteHand(this.#hand, this.#session);
    this.#handler.onEnd();
    this.#hand.free();
  }

  onDrain(): void {
    noteHand(this.#hand, this.#session);
    this.#handler.onDrain();
    this.#hand.free();
  }

  onClose(fault: Fault | null): void {
    noteHand(this.#hand, this.#session);
    this.#handler.onClose(fault);
    this.#hand.free();
  }
}
