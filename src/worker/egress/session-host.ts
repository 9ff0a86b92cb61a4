import type { Row, ShardIndex, SpoolKey } from "../../base/brands.js";
import type { Connection, ConnectionHandler, ConnectOptions } from "../../native/binding.js";
import type { OutgoingMessage } from "../../smtp/client-envelope.js";
import type { Plan, PlanTarget } from "./plan.js";
import type { EgressSession } from "./session.js";
import type { LineSecurity } from "./tls/desk.js";
import type { Fate } from "./verdict.js";

/** A message that the scheduler gave to a session. */
export interface Assigned {
  readonly row: Row;
  readonly shard: ShardIndex;
  readonly key: SpoolKey;
  readonly attempts: number;
}

/** What a session asks of its worker. */
export interface SessionHost {
  /** Connects; the handler is told what happens, for the session. */
  connect(session: EgressSession, handler: ConnectionHandler, options: ConnectOptions): Connection;
  /** What is demanded of an address; with `clear` it is tried again without the TLS that it has just failed at. */
  security(session: EgressSession, target: PlanTarget, clear: boolean): LineSecurity;
  /** Finds the addresses of the path's hosts; `answer` is called exactly once, perhaps at once. */
  plan(session: EgressSession, answer: (plan: Plan) => void): void;
  /**
   * Loads a message for sending: `gone` when it cannot be read, which the host has then settled; `later` when it cannot be
   * seen yet, and the host will call `loadAgain`.
   */
  load(session: EgressSession, assigned: Assigned): OutgoingMessage | "gone" | "later";
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
  | "ended"
  /** Ended, and no address could be connected to. */
  | "unreachable";
