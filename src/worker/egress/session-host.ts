import type { Connection, ConnectionHandler, ConnectOptions } from "../../native/binding.js";
import type { ResponseText } from "../../protocol/records.js";
import type { OutgoingMessage } from "../../smtp/client-envelope.js";
import type { Assigned } from "./in-hand.js";
import type { Plan, PlanTarget } from "./plan.js";
import type { EgressSession } from "./session.js";
import type { LineSecurity } from "./tls/desk.js";
import type { Fate } from "./verdict.js";

/** What a session asks of its worker. */
export interface SessionHost {
  /** Connects; the handler is told what happens, for the session. */
  connect(session: EgressSession, handler: ConnectionHandler, options: ConnectOptions): Connection;
  /** What is demanded of an address; with `clear` it is tried again without the TLS that it has just failed at. */
  security(session: EgressSession, target: PlanTarget, clear: boolean): LineSecurity;
  /** Finds the addresses of the path's hosts; `answer` is called exactly once, perhaps at once. */
  plan(session: EgressSession, answer: (plan: Plan) => void): void;
  /**
   * Loads the recipients of a transaction for sending: each has `loaded` then, but those that cannot be read, which the host
   * has settled; `gone` when that are all of them. `later` when one cannot be seen yet: the host will call `loadAgain`.
   */
  load(session: EgressSession, batch: readonly Assigned[]): OutgoingMessage | "gone" | "later";
  /** Whether this address may get content by BDAT. */
  mayChunk(target: PlanTarget): boolean;
  /** What came of BDAT at this address. */
  chunked(target: PlanTarget, how: "worked" | "lost" | "refused"): void;
  /** A failure that is not the end of the attempt is written down: the message goes on to the next address. */
  failedOnce(session: EgressSession, assigned: Assigned, response: ResponseText): void;
  /** The session is greeted. */
  up(session: EgressSession): void;
  /** A message has an outcome. `last` tells that the session ends with it and reports nothing more. */
  settled(session: EgressSession, assigned: Assigned, fate: Fate, end: SettledEnd): void;
  /** The session is over, with no message in hand. */
  ended(session: EgressSession): void;
}

/** Whether a settled message was the session's last act. */
export type SettledEnd =
  | "goes-on"
  /** No address could be connected to; what that is for another recipient of the transaction follows, and then the end. */
  | "unreached"
  | "ended"
  /** Ended, and no address could be connected to. */
  | "unreachable";
