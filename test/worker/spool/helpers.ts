import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { ShardIndex, SpoolKey, WorkerIndex } from "../../../src/base/brands.js";
import { ManualClock } from "../../../src/base/clock.js";
import type { Fault } from "../../../src/base/fault.js";
import type { Reception } from "../../../src/worker/spool/envelope.js";
import { Shard } from "../../../src/worker/spool/shard.js";
import type { ShardEvents, ShardOptions } from "../../../src/worker/spool/shard-options.js";
import { createSwapGate, SwapGate } from "../../../src/worker/spool/swap-gate.js";
import type { NewTransaction } from "../../../src/worker/spool/transaction.js";

/** A directory that goes with its test. */
export function scratch(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "hikyaku-spool-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export const reception: Reception = {
  protocol: "ESMTP",
  ehlo: "client.example",
  receivedFrom: "192.0.2.7",
  receivedVia: "127.0.0.1:2025",
  sessionId: "5f1d",
  durability: "flushed",
};

/** What a shard told, in order. */
export class Heard implements ShardEvents {
  readonly removed: number[] = [];
  readonly quarantined: { key: SpoolKey; reason: string }[] = [];
  readonly faults: Fault[] = [];
  batches = 0;
  /** Messages of each commit, −1 for a sync of its own. */
  readonly written: number[] = [];
  #waiting: { until: () => boolean; resolve: () => void }[] = [];

  onRemoved(_shard: ShardIndex, tokens: readonly number[]): void {
    this.removed.push(...tokens);
  }

  onWritten(_tookMs: number, stored: number): void {
    this.written.push(stored);
  }

  onBatch(): void {
    this.batches++;
    this.#wake();
  }

  onQuarantined(_shard: ShardIndex, key: SpoolKey, reason: string): void {
    this.quarantined.push({ key, reason });
  }

  onFault(_shard: ShardIndex, fault: Fault): void {
    this.faults.push(fault);
    this.#wake();
  }

  /** Resolves after a batch or fault once `until` holds. */
  when(until: () => boolean): Promise<void> {
    if (until()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ until, resolve }));
  }

  #wake(): void {
    for (const waiting of this.#waiting.splice(0)) {
      if (waiting.until()) waiting.resolve();
      else this.#waiting.push(waiting);
    }
  }
}

/** The gate of a process with one worker. */
export function gate(): SwapGate {
  return new SwapGate(createSwapGate(1), 0 as WorkerIndex);
}

/** Opens shard 0 below `spoolPath`, closed with its test. */
export function openShard(
  t: TestContext,
  spoolPath: string,
  more: Partial<ShardOptions> = {},
): { shard: Shard; heard: Heard; clock: ManualClock } {
  const heard = new Heard();
  const clock = new ManualClock();
  const shard = Shard.open({
    spoolPath,
    shard: 0 as ShardIndex,
    durability: "flushed",
    clock,
    events: heard,
    recentBytes: 0,
    syncIntervalMs: 10,
    check: true,
    ...more,
  });
  t.after(() => shard.close());
  return { shard, heard, clock };
}

/** A transaction with content made of `text`, one recipient per name. */
export function transaction(
  shard: Shard,
  text: string,
  names: readonly string[],
  more: Partial<NewTransaction> = {},
): NewTransaction {
  return {
    firstKey: shard.newKeys(names.length),
    content: Buffer.from(text),
    sender: "sender@example.com",
    recipients: names.map((name) => ({ recipient: `${name}@example.net`, queue: "example.net" })),
    reception,
    meta: null,
    flags: 0,
    dueMs: 0,
    forceFlush: false,
    hold: null,
    deferred: false,
    ...more,
  };
}

/** Stores and waits. Rejects with the fault. */
export function stored(shard: Shard, what: NewTransaction): Promise<SpoolKey> {
  return new Promise((resolve, reject) => {
    const refused = shard.storeTransaction(what, {
      onStored: (fault) => (fault === null ? resolve(what.firstKey) : reject(fault)),
    });
    if (refused !== null) reject(refused);
  });
}

/** Removes and waits. */
export async function removed(shard: Shard, heard: Heard, key: SpoolKey, token: number): Promise<void> {
  shard.remove(key, token);
  await heard.when(() => heard.removed.includes(token));
}
