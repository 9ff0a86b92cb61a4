/**
 * Holds what clients were promised, what the mail host got, and what the server left on disk against each other. Every
 * rule that is broken throws, with the first offenders.
 */
import assert from "node:assert/strict";
import { type LogEvidence, type StoredEvidence, storedAt } from "./evidence.js";
import type { Sent } from "./load.js";
import type { Arrival, RecordingSink } from "./sink.js";

/** Everything that is known after a run. */
export interface Evidence {
  readonly sent: readonly Sent[];
  readonly sink: RecordingSink;
  readonly log: LogEvidence;
  readonly spool: ReadonlyMap<string, StoredEvidence>;
  /** When the server was killed, on the test's monotonic clock. */
  readonly deathsMs: readonly number[];
  /** The server promised less: what was in memory only may be gone after a death. What is left must still make sense. */
  readonly mayLose?: boolean;
  /**
   * A 250 of a mail host that the server had this long to write down, and has not, breaks the rules: the window was larger
   * than a turn. Without it the window is only measured: who else uses the machine says how long a turn takes.
   */
  readonly longestWindowMs?: number;
}

/** Second copies, and how close to a death their first ones were. */
export interface Duplicates {
  /** The mail host's 250 had left when the server died: ms between the two, rising. */
  readonly gapsMs: readonly number[];
  /** The server died before the mail host had answered: nobody could know. */
  readonly unheard: number;
}

/** The sums. */
export interface Summary {
  readonly accepted: number;
  /** Accepted, and gone without a record; only where that was the agreement. */
  readonly lost: number;
  readonly refused: number;
  readonly unknown: number;
  /** Recipients of unknown transactions that turned out to be taken. */
  readonly unknownTaken: number;
  readonly delivered: number;
  readonly bounced: number;
  readonly waiting: number;
  readonly duplicates: Duplicates;
  readonly torn: number;
  readonly segments: number;
  readonly compressed: number;
}

/** Checks all rules; `complete`: nothing may wait any more. */
export function judge(evidence: Evidence, complete: boolean): Summary {
  const { sent, log, spool, sink } = evidence;
  const none = (what: string, offenders: readonly string[]): void =>
    assert.equal(offenders.length, 0, `${offenders.length} × ${what}: ${offenders.slice(0, 5).join(", ")}`);
  const of = (promised: Sent["promised"]): Sent[] => sent.filter((one) => one.promised === promised);
  const stored = new Set([...spool.values()].map(({ recipient }) => recipient));
  const ended = new Map<string, number>();
  for (const records of log.terminal.values()) {
    for (const { recipient } of records) ended.set(recipient, (ended.get(recipient) ?? 0) + 1);
  }
  const accepted = of("accepted");
  const ids = accepted.flatMap((one) => one.ids);
  none(
    "accepted, and the reply names other ids than recipients",
    accepted.filter((one) => one.ids.length !== one.recipients.length).map((one) => one.reply),
  );
  const lost = ids.filter((id) => !log.terminal.has(id) && !spool.has(storedAt(id)));
  const mayLose = evidence.mayLose === true;
  if (!mayLose) none("accepted and lost", lost);
  none(
    "more than one terminal record",
    [...log.terminal].filter(([, records]) => records.length !== 1).map(([id, records]) => `${id} ${typesOf(records)}`),
  );
  none("an id given twice", repeated(ids));
  none("a number of the log used twice", repeated(log.records.map((record) => String(record.seq))));
  if (complete) none("still waiting", [...stored]);

  const arrivals = byRecipient(sink.arrivals);
  const logged = new Set(log.records.flatMap((record) => (record.type === "Rejection" ? [] : [record.recipient])));
  for (const recipient of of("refused").flatMap((one) => one.recipients)) {
    const found = arrivals.has(recipient) ? "delivered" : stored.has(recipient) ? "kept" : logged.has(recipient);
    assert.ok(found === false, `${recipient} was refused and is ${found}`);
  }
  const unknown = of("unknown");
  let unknownTaken = 0;
  for (const { recipients } of unknown) {
    const taken = recipients.filter((one) => ended.has(one) || stored.has(one)).length;
    assert.ok(
      mayLose || taken === 0 || taken === recipients.length,
      `half of a transaction was kept: ${recipients.join(" ")}`,
    );
    unknownTaken += taken;
  }
  const known = new Set([...accepted, ...unknown].flatMap((one) => one.recipients));
  none(
    "recorded, and nobody sent it",
    [...logged].filter((one) => !known.has(one)),
  );
  const untold = [...arrivals.keys()].filter((one) => !ended.has(one) && !stored.has(one));
  if (!mayLose) none("arrived, and neither recorded nor waiting", untold);
  none("arrived otherwise than it was sent", sink.spoiled);
  const terminal = [...log.terminal.values()].flat();
  none(
    "recorded as delivered, and did not arrive",
    terminal.filter(({ type, recipient }) => type === "Delivery" && !arrivals.has(recipient)).map(({ id }) => id),
  );
  none(
    "ended otherwise than its recipient's host said",
    terminal
      .filter(({ type, recipient }) => type !== (recipient.startsWith("no-") ? "Bounce" : "Delivery"))
      .map(({ type, recipient }) => `${type} ${recipient}`),
  );
  return {
    accepted: ids.length,
    lost: lost.length,
    refused: of("refused").length,
    unknown: unknown.length,
    unknownTaken,
    delivered: terminal.filter(({ type }) => type === "Delivery").length,
    bounced: terminal.filter(({ type }) => type === "Bounce").length,
    waiting: spool.size,
    duplicates: duplicatesOf(arrivals, evidence),
    torn: log.torn.length,
    segments: log.segments,
    compressed: log.compressed,
  };
}

/** A second copy needs a death between the first one's 250 and the server's own record of it. */
function duplicatesOf(arrivals: ReadonlyMap<string, readonly Arrival[]>, evidence: Evidence): Duplicates {
  const { deathsMs, longestWindowMs = Number.POSITIVE_INFINITY } = evidence;
  const gapsMs: number[] = [];
  let unheard = 0;
  for (const [recipient, unordered] of arrivals) {
    // A slow host may be done with a first copy long after a second one came.
    const copies = unordered.toSorted((a, b) => a.connectedMs - b.connectedMs);
    for (const copy of copies.slice(0, -1)) {
      // The end of the life that the connection belonged to; what still lay in it may be read after the death.
      const death = deathsMs.find((atMs) => atMs >= copy.connectedMs);
      assert.ok(death !== undefined, `${recipient} arrived twice without a death in between`);
      if (copy.repliedMs === null || copy.repliedMs > death) unheard++;
      else gapsMs.push(death - copy.repliedMs);
    }
  }
  gapsMs.sort((a, b) => a - b);
  const longest = gapsMs.at(-1) ?? 0;
  assert.ok(longest < longestWindowMs, `a duplicate whose first copy was answered ${longest} ms before the death`);
  return { gapsMs, unheard };
}

function byRecipient(arrivals: readonly Arrival[]): Map<string, Arrival[]> {
  const found = new Map<string, Arrival[]>();
  for (const arrival of arrivals) {
    const copies = found.get(arrival.recipient);
    if (copies === undefined) found.set(arrival.recipient, [arrival]);
    else copies.push(arrival);
  }
  return found;
}

function typesOf(records: readonly { readonly type: string }[]): string {
  return records.map(({ type }) => type).join("+");
}

function repeated(values: readonly string[]): string[] {
  const seen = new Set<string>();
  return values.filter((value) => seen.size === seen.add(value).size);
}

/** A summary in a line or two. */
export function describeSummary(summary: Summary): string {
  const { duplicates } = summary;
  const { gapsMs } = duplicates;
  const at = (share: number): string => (gapsMs[Math.floor(share * (gapsMs.length - 1))] ?? 0).toFixed(1);
  const window =
    gapsMs.length === 0
      ? "none in the window"
      : `${gapsMs.length} in the window (remote 250 to death: median ${at(0.5)} ms, longest ${at(1)} ms)`;
  return (
    `${summary.accepted} accepted, ${summary.lost} lost, ${summary.refused} refused, ${summary.unknown} unknown (${summary.unknownTaken} recipients taken); ` +
    `${summary.delivered} delivered, ${summary.bounced} bounced, ${summary.waiting} waiting; ` +
    `duplicates: ${window}, ${duplicates.unheard} died before the remote 250; ` +
    `log: ${summary.segments} segments, ${summary.compressed} compressed, ${summary.torn} torn lines`
  );
}
