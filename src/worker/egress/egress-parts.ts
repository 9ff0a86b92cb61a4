import type { Row, SessionId, ShardIndex, SpoolKey } from "../../base/brands.js";
import type { Clock } from "../../base/clock.js";
import type { Random } from "../../base/random.js";
import type { Reactor } from "../../native/binding.js";
import type { OutcomeKind } from "../../protocol/layout/frames.js";
import type { Hand } from "../../protocol/layout/hands.js";
import type { DelayReason, ResponseText } from "../../protocol/records.js";
import type { TlsCount } from "../../protocol/tls-policy.js";
import type { AttemptFacts, MessageFacts, MessageRecordKind } from "../events/record.js";
import type { SpooledMessage, Unreadable } from "../spool/envelope.js";
import type { HostNames } from "./host-lookup.js";

/** What the sending side needs of its worker. */
export interface EgressParts {
  readonly reactor: Reactor;
  readonly clock: Clock;
  readonly random: Random;
  readonly hostname: string;
  /** See `nodeDigits`. */
  readonly node: string;
  readonly counters: Float64Array;
  readonly names: HostNames;
  /** Whether this worker writes that shard. */
  readonly owns: (shard: ShardIndex) => boolean;
  /** Mail may be in its owner's memory only. */
  readonly defers: boolean;
  /** A session has taken a message in hand, or gives it back unsettled. */
  readonly inHand: (shard: ShardIndex, key: SpoolKey, inHand: boolean) => void;
  /** Writes the record of a message of this worker's own that exists no more. */
  readonly lost: (shard: ShardIndex, key: SpoolKey) => void;
  /** A session waits for a message that its owner may have in memory only. */
  readonly wanted: (shard: ShardIndex, key: SpoolKey) => void;
  /** Reads a message; `alike` is another recipient of the same one, whose content it shares. */
  readonly read: (shard: ShardIndex, key: SpoolKey, alike: SpooledMessage | null) => SpooledMessage | Unreadable;
  /** The worker's note of what it works on. */
  readonly hand: Hand;
  /** Has a settled message leave the spool as soon as its record is written. Only for shards of this worker. */
  readonly remove: (shard: ShardIndex, key: SpoolKey, row: Row) => void;
  readonly log: (
    kind: MessageRecordKind,
    message: MessageFacts,
    response: ResponseText,
    attempt: AttemptFacts,
    reason: DelayReason | null,
  ) => void;
  readonly outcome: (row: Row, session: SessionId, kind: OutcomeKind, flags: number, code: number) => void;
  readonly sessionUp: (session: SessionId) => void;
  readonly sessionEnded: (session: SessionId) => void;
  readonly tlsOutcomes: (outcomes: readonly TlsCount[]) => void;
}
