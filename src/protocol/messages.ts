import type { PathId, Row, ShardIndex, SpoolKey } from "../base/brands.js";
import type { DnsConfig, PathConfig, ProxyConfig, SmtpListenerConfig } from "../config/compiled.js";
import type { DelayReason, RecordKind, ResponseText } from "./records.js";
import type { SessionView } from "./session-view.js";
import type { StsState, TlsCount } from "./tls-policy.js";

/** One host of a delivery route. */
export interface RouteHost {
  /** MX preference; hosts of a static list count up from 0, so that their order is kept. */
  readonly preference: number;
  /** Host name, or the printed address or socket path when there is no name. */
  readonly name: string;
  /** Fixed address (literal or `{name, addr}` entry); null when the name must be resolved. */
  readonly address: string | null;
  /** Port of this entry; null for the path's. */
  readonly port: number | null;
  /** Path of a unix socket; then `address` and `port` mean nothing. */
  readonly unix: string | null;
}

/** Where a domain's mail goes, as the router found out. */
export type Route =
  | {
      readonly kind: "hosts";
      /** The site's name as printed in logs and in the ready queue's name. */
      readonly site: string;
      /** Exact identity of the host set: two sets that print alike have different keys. */
      readonly key: string;
      readonly hosts: readonly RouteHost[];
      /** True when the operator wrote the hosts (`mx_list`, sandbox): then `prohibited_hosts` does not apply. */
      readonly explicit: boolean;
      /** What the domain's MTA-STS policy demands. */
      readonly sts: StsState;
      /** The set of hosts is DNSSEC-secure, or counts as such: DANE may hold for them. */
      readonly secure: boolean;
      /** How long the answer holds, ms; Infinity for static ones. */
      readonly ttlMs: number;
    }
  /** RFC 7505: the domain takes no mail. */
  | { readonly kind: "null-mx"; readonly ttlMs: number }
  /** The name does not exist: final and authoritative. */
  | { readonly kind: "no-such-domain"; readonly ttlMs: number }
  /** Could not be found out now. */
  | { readonly kind: "failed"; readonly reason: string; readonly ttlMs: number };

/** All that a worker must know of an egress path to open sessions on it and to log what happens there. */
export interface PathDefinition {
  readonly id: PathId;
  /** `SOURCE->SITE@smtp_client`: the ready queue's name, the `site` field of log records. */
  readonly name: string;
  readonly site: string;
  readonly source: {
    readonly name: string;
    /** Local address to bind, null for the system's choice. */
    readonly address: string | null;
    /** Bind it although no interface has it. */
    readonly freeBind: boolean;
    readonly ehloDomain: string | null;
    readonly remotePort: number | null;
    readonly proxy: ProxyConfig | null;
  };
  readonly pool: string;
  readonly hosts: readonly RouteHost[];
  readonly explicit: boolean;
  readonly sts: StsState;
  readonly secure: boolean;
  readonly config: PathConfig;
}

/**
 * The scheduler has decided about a message without a session (expiry, null MX, a path that failed as a whole, a worker
 * that died). Its owner writes the record and then, for a terminal one, removes the entry and confirms with `retired`;
 * for others it stores `attempts` and `dueMs`.
 */
export interface Dispose {
  readonly kind: "dispose";
  readonly row: Row;
  readonly shard: ShardIndex;
  readonly key: SpoolKey;
  readonly record: RecordKind;
  readonly response: ResponseText;
  readonly attempts: number;
  /** Steady wall clock, ms; 0 when terminal. */
  readonly dueMs: number;
  readonly reason: DelayReason | null;
  /** Ready queue name, "" when no path was involved. */
  readonly site: string;
  readonly pool: string | null;
  readonly source: string | null;
  /** The order stands only if the entry does not exist; otherwise it is answered `returned`. */
  readonly ifMissing: boolean;
}

/** How much of an entry is looked at while it is moved to quarantine: nothing that a worker may have died of. */
export type Depth =
  /** Everything; its record names sender and recipient. */
  | "envelope"
  /** The row's front part, which names its body. */
  | "header"
  /** Nothing: the row's bytes, and those of a body of its own. */
  | "bytes";

/** Workers died of this message: nobody gets it in hand again. */
export interface Sentence {
  readonly shard: ShardIndex;
  readonly key: SpoolKey;
  /** In words, for record and notice. */
  readonly reason: string;
  readonly depth: Depth;
  /** It is in quarantine and has its record: all that is left to do is to remove it. */
  readonly recorded: boolean;
}

/** The owner moves the message to quarantine, writes its record, and confirms with `retired`. */
export interface SetAside extends Sentence {
  readonly kind: "setAside";
  readonly row: Row;
}

/** A file of the event log. */
export interface LogSegment {
  /** Counts up from 1 over the run of the server. */
  readonly number: number;
  readonly path: string;
}

/** What became of a shard that was to be compacted. */
export interface ShardCompaction {
  readonly shard: ShardIndex;
  /** Bytes of its file before and after. */
  readonly beforeBytes: number;
  readonly afterBytes: number;
  /** How long mail for it waited, ms. */
  readonly heldMs: number;
  /** Why it was not compacted; null when it was. */
  readonly error: string | null;
}

/** Rare frames, scheduler to worker. */
export type DownMessage =
  | { readonly kind: "definePath"; readonly path: PathDefinition }
  | { readonly kind: "forgetPath"; readonly id: PathId }
  | Dispose
  | SetAside
  /** Store this message if it is in memory only: somebody else must read it. */
  | { readonly kind: "save"; readonly shard: ShardIndex; readonly key: SpoolKey }
  /** Close the handle on this shard of another worker and leave it closed for a second: its owner opens it anew. */
  | { readonly kind: "letGo"; readonly shard: ShardIndex }
  /** Begin to listen and to accept. */
  | { readonly kind: "listen" }
  /** Stop accepting; answer 421; finish what is in hand; then report `stopped`. */
  | { readonly kind: "stop"; readonly deadlineMs: number }
  /** A reload has changed these: for clients that connect from now on, and questions asked from now on. */
  | { readonly kind: "reconfigure"; readonly listeners: readonly SmtpListenerConfig[]; readonly dns: DnsConfig }
  /** Compact every shard, one after the other; each is answered with `compacted`. */
  | { readonly kind: "compact"; readonly request: number }
  /** Somebody asks what these sessions do; answered with `inspected`. */
  | { readonly kind: "inspect"; readonly request: number; readonly sessions: readonly number[] }
  /** Log segment to write to from now on. */
  | { readonly kind: "segment"; readonly segment: LogSegment }
  /** End the thread as a crash would: at once, or when the log of this turn is written and nobody was told. For tests. */
  | { readonly kind: "die"; readonly when: "now" | "written" };

/** Rare frames, worker to scheduler. */
export type UpMessage =
  /**
   * The shards are open, each with the greatest key it holds; `threadId` is Node's number of the thread,
   * `osThread` the system's, 0 where it cannot be told.
   */
  | {
      readonly kind: "opened";
      readonly threadId: number;
      readonly osThread: number;
      readonly shards: readonly { readonly shard: ShardIndex; readonly lastKey: number }[];
    }
  /** All rows of this shard that the start found have been sent; `settled` others had their end in the log already. */
  | {
      readonly kind: "loaded";
      readonly shard: ShardIndex;
      readonly rows: number;
      readonly quarantined: number;
      readonly settled: number;
    }
  | { readonly kind: "listening"; readonly listener: number; readonly host: string; readonly port: number }
  /** An entry was moved to quarantine; `row` is 0 when the scheduler never knew it. */
  | { readonly kind: "quarantined"; readonly shard: ShardIndex; readonly key: SpoolKey; readonly reason: string }
  /** A message that must be there is not, and has its last record. */
  | { readonly kind: "lost"; readonly shard: ShardIndex; readonly key: SpoolKey; readonly reason: string }
  /** An entry that workers died of has left the spool; the scheduler never knew it. */
  | { readonly kind: "left"; readonly shard: ShardIndex; readonly key: SpoolKey }
  /** A session cannot see this message of another worker, which may have it in memory only. */
  | { readonly kind: "wanted"; readonly shard: ShardIndex; readonly key: SpoolKey }
  /** A shard has failed and will be opened anew in half a second: whoever reads it must let go of it. */
  | { readonly kind: "reopening"; readonly shard: ShardIndex }
  /** A shard that had failed takes mail again. */
  | { readonly kind: "mended"; readonly shard: ShardIndex }
  /** A shard was compacted or could not be; `left` more of this request follow from this worker. `request` 0: unasked. */
  | ({ readonly kind: "compacted"; readonly request: number; readonly left: number } & ShardCompaction)
  /** The worker has noticed a fault that an operator must know, perhaps of a shard. */
  | { readonly kind: "fault"; readonly code: string; readonly message: string; readonly shard: ShardIndex | null }
  /** The worker writes this log segment now, and has reported all that it wrote in earlier ones. */
  | { readonly kind: "segmentInUse"; readonly segment: LogSegment }
  /** The queue numbers given so far are void; new ones follow from 1. */
  | { readonly kind: "queueRefsReset" }
  /** How TLS went in sessions of this worker since the last time. */
  | { readonly kind: "tlsOutcomes"; readonly outcomes: readonly TlsCount[] }
  /** What some sessions do, of those that are still there; `last`: nothing follows to this request. */
  | {
      readonly kind: "inspected";
      readonly request: number;
      readonly sessions: readonly SessionView[];
      readonly last: boolean;
    }
  | { readonly kind: "stopped" };
