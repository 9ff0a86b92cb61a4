/**
 * What a server left on disk, read as a stranger would: the event log over all its segments, and the spool's shards from
 * copies of their files.
 */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import type { ShardIndex, SpoolKey } from "../../src/base/brands.js";
import { SystemClock } from "../../src/base/clock.js";
import { parseMessageId } from "../../src/protocol/message-id.js";
import { isTerminal, RECORD_KINDS } from "../../src/protocol/records.js";
import { Shard } from "../../src/worker/spool/shard.js";
import { readSegment } from "../support/server.js";

const recordSchema = z.object({
  type: z.enum(RECORD_KINDS),
  seq: z.number(),
  id: z.string(),
  recipient: z.string(),
  num_attempts: z.number(),
  event_time: z.string(),
});

/** A record of the log, as far as it matters here. */
export type EvidenceRecord = z.infer<typeof recordSchema>;

/** The whole log. */
export interface LogEvidence {
  readonly records: readonly EvidenceRecord[];
  /** Lines that are no record: cut by a crash. */
  readonly torn: readonly string[];
  /** By id: its terminal records. */
  readonly terminal: ReadonlyMap<string, readonly EvidenceRecord[]>;
  readonly segments: number;
  readonly compressed: number;
}

/** Reads all segments of the server in `dir`. A segment whose compression was under way is read once. */
export function readEvidence(dir: string): LogEvidence {
  const log = join(dir, "var", "log");
  const names = existsSync(log) ? readdirSync(log).filter((name) => /\.jsonl(\.gz|\.zst)?$/.test(name)) : [];
  const once = names.sort().filter((name) => !names.some((other) => name.startsWith(`${other}.`)));
  const records: EvidenceRecord[] = [];
  const torn: string[] = [];
  const terminal = new Map<string, EvidenceRecord[]>();
  for (const name of once) {
    for (const line of readSegment(join(log, name)).split("\n")) {
      if (line === "") continue;
      const record = recordOf(line);
      if (record === null) torn.push(line);
      else records.push(record);
      if (record === null || !isTerminal(record.type)) continue;
      const known = terminal.get(record.id);
      if (known === undefined) terminal.set(record.id, [record]);
      else known.push(record);
    }
  }
  const compressed = once.filter((name) => !name.endsWith(".jsonl")).length;
  return { records, torn, terminal, segments: once.length, compressed };
}

function recordOf(line: string): EvidenceRecord | null {
  try {
    return recordSchema.parse(JSON.parse(line));
  } catch {
    return null;
  }
}

/** A message that a shard holds, read whole. */
export interface StoredEvidence {
  readonly recipient: string;
  readonly content: string;
}

/** By {@link storedAt}: what the shards of a stopped server hold. Every row must be readable. */
export async function readSpool(dir: string): Promise<Map<string, StoredEvidence>> {
  const spool = join(dir, "var", "spool");
  const found = new Map<string, StoredEvidence>();
  const names = existsSync(spool) ? readdirSync(spool).filter((name) => /^shard-\d+$/.test(name)) : [];
  const copies = mkdtempSync(join(tmpdir(), "hikyaku-copy-"));
  try {
    for (const name of names) {
      const file = join(spool, name, "data.mdb");
      if (!existsSync(file)) continue;
      mkdirSync(join(copies, name));
      copyFileSync(file, join(copies, name, "data.mdb"));
      await readShard(copies, Number(name.slice(6)), found);
    }
  } finally {
    rmSync(copies, { recursive: true, force: true });
  }
  return found;
}

/** Adds all messages of one shard below `spoolPath` to `found`; a damaged one, or a file that does not open, throws. */
export async function readShard(spoolPath: string, index: number, found: Map<string, StoredEvidence>): Promise<void> {
  const shard = Shard.open({
    spoolPath,
    shard: index as ShardIndex,
    durability: "flushed",
    clock: new SystemClock(),
    events: { onRemoved() {}, onWritten() {}, onBatch() {}, onQuarantined() {}, onFault() {} },
    recentBytes: 0,
    syncIntervalMs: 1000,
    check: true,
  });
  try {
    const keys: SpoolKey[] = [];
    const replay = shard.replay({ onRow: (key) => keys.push(key) }, 0);
    await replay.run(1000);
    if (replay.quarantined > 0) throw new Error(`${replay.quarantined} damaged entries in shard ${index}`);
    for (const key of keys) {
      const message = shard.read(key);
      if (message.kind !== "message") throw new Error(`shard ${index}, key ${key}: ${message.kind}`);
      const { envelope, content } = message;
      found.set(`${index}:${key}`, { recipient: envelope.recipient, content: content.toString("latin1") });
    }
  } finally {
    await shard.close();
  }
}

/** Where a message of this id would be in {@link readSpool}'s map. */
export function storedAt(id: string): string {
  const parsed = parseMessageId(id);
  return parsed === null ? "" : `${parsed.shard}:${parsed.key}`;
}
