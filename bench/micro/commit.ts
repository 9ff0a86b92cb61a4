/**
 * What committing costs: `node dist/bench/micro/commit.js [messages]` (default 40,000). 200 writers in flight, each
 * storing the next message when its last one is committed and flushed; one row of 250 bytes and one body per message.
 *
 *   put          lmdb-js gathers the turn, a promise per message
 *   gathered     own gathering, one commit in flight; puts one after the other, one promise per batch
 *   batch        the same, as one lmdb-js batch
 *   append       the same, greater keys appended (this is what LmdbStore does)
 *   transaction  the same, in a callback of an asynchronous transaction
 *   sync         the same, in a synchronous transaction: the thread waits for the disk
 *   shard        the whole of src/worker/spool: packing, checksums, batches, waiters; with and without recent mail
 *   shard+remove the same, and every message is removed when it is stored
 *   committed    the shard without a sync per commit
 *
 * Messages per second, CPU microseconds per message (all threads), commits, file size.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Database, open, type RootDatabase } from "lmdb";
import type { ShardIndex } from "../../src/base/brands.js";
import { SystemClock } from "../../src/base/clock.js";
import { shardDirectory } from "../../src/worker/spool/directories.js";
import type { Reception } from "../../src/worker/spool/envelope.js";
import { Shard } from "../../src/worker/spool/shard.js";
import type { ShardOptions } from "../../src/worker/spool/shard-options.js";

const WRITERS = 200;
const messages = Number(process.argv[2] ?? 40_000);
/** Messages of this pass: the first one only warms up. */
let total = messages / 8;

interface Pending {
  readonly key: number;
  readonly body: Buffer;
  readonly row: Buffer;
}

/** One way to commit a batch; `put` is the one that does not gather. */
type Way = "put" | "gathered" | "batch" | "append" | "transaction" | "sync";

interface Appending {
  put(key: number, value: Buffer, options: { append: true }): Promise<boolean>;
}

function ignore(): void {}

class Raw {
  commits = 0;
  readonly #way: Way;
  readonly #root: RootDatabase<Buffer, number>;
  readonly #meta: Database<Buffer, number>;
  readonly #body: Database<Buffer, number>;
  #waiting: Pending[] = [];
  #busy = false;
  #scheduled = false;

  constructor(way: Way, path: string) {
    this.#way = way;
    this.#root = open<Buffer, number>({
      path,
      encoding: "binary",
      overlappingSync: false,
      eventTurnBatching: way === "put",
      mapSize: 1 << 30,
    });
    this.#meta = this.#root.openDB<Buffer, number>({ name: "meta", encoding: "binary" });
    this.#body = this.#root.openDB<Buffer, number>({ name: "body", encoding: "binary" });
  }

  store(pending: Pending, done: () => void): void {
    if (this.#way === "put") {
      void this.#body.put(pending.key, pending.body);
      void this.#meta.put(pending.key, pending.row).then(done);
      return;
    }
    this.#waiting.push(pending);
    this.#done.push(done);
    if (this.#busy || this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#commit());
  }
  #done: (() => void)[] = [];

  #commit(): void {
    this.#scheduled = false;
    if (this.#waiting.length === 0) return;
    this.#busy = true;
    this.commits++;
    const batch = this.#waiting;
    const done = this.#done;
    this.#waiting = [];
    this.#done = [];
    const finish = (): void => {
      this.#busy = false;
      for (const call of done) call();
      if (!this.#scheduled) this.#commit();
    };
    if (this.#way === "sync") {
      this.#root.transactionSync(() => this.#write(batch));
      setImmediate(finish);
    } else if (this.#way === "transaction") void this.#root.transaction(() => this.#write(batch)).then(finish);
    else if (this.#way === "gathered") void this.#write(batch).then(finish);
    else if (this.#way === "batch") void this.#root.batch(() => void this.#write(batch)).then(finish);
    else this.#append(batch, finish);
  }

  #write(batch: readonly Pending[]): Promise<boolean> {
    let last: Promise<boolean> = Promise.resolve(true);
    for (const { key, body, row } of batch) {
      void this.#body.put(key, body);
      last = this.#meta.put(key, row);
    }
    return last;
  }

  #append(batch: readonly Pending[], finish: () => void): void {
    const body = this.#body as unknown as Appending;
    const meta = this.#meta as unknown as Appending;
    let last: Promise<boolean> | null = null;
    void this.#root.batch(() => {
      for (const pending of batch) {
        body.put(pending.key, pending.body, { append: true }).then(ignore, ignore);
        last?.then(ignore, ignore);
        last = meta.put(pending.key, pending.row, { append: true });
      }
    });
    void (last as unknown as Promise<boolean>).then(finish);
  }

  close(): Promise<void> {
    return this.#root.close();
  }
}

/** Runs `total` messages through `one`, 200 at a time, and prints the figures. */
async function measure(
  name: string,
  size: number,
  one: (next: () => void) => void,
  commits: () => number,
  file: string,
  close: () => Promise<void>,
): Promise<void> {
  const count = size > 5000 ? total / 2 : total;
  const cpu = process.cpuUsage();
  const start = performance.now();
  await new Promise<void>((resolve) => {
    let begun = 0;
    let ended = 0;
    const next = (): void => {
      if (begun < count) {
        begun++;
        one(() => {
          if (++ended === count) resolve();
          else next();
        });
      }
    };
    for (let i = 0; i < WRITERS; i++) next();
  });
  const ms = performance.now() - start;
  const used = process.cpuUsage(cpu);
  await close();
  console.log(
    name.padEnd(26),
    `${size} B`.padStart(8),
    `${Math.round((count / ms) * 1000)} msg/s`.padStart(15),
    `${((used.user + used.system) / count).toFixed(1)} µs CPU`.padStart(14),
    `${commits()} commits`.padStart(14),
    `${(statSync(file).size / 1e6).toFixed(0)} MB`.padStart(8),
  );
}

async function raw(way: Way, size: number): Promise<void> {
  const path = mkdtempSync(join(tmpdir(), "hikyaku-bench-"));
  const store = new Raw(way, path);
  let key = 1e14;
  const one = (next: () => void): void =>
    store.store({ key: ++key, body: Buffer.alloc(size, 97), row: Buffer.alloc(250, 98) }, next);
  await measure(
    way,
    size,
    one,
    () => store.commits,
    join(path, "data.mdb"),
    () => store.close(),
  );
  rmSync(path, { recursive: true });
}

const reception: Reception = {
  protocol: "ESMTP",
  ehlo: "client.example.com",
  receivedFrom: "192.0.2.77",
  receivedVia: "192.0.2.1:25",
  sessionId: "0123456789abcdef",
  durability: "flushed",
};
const nothing = { onRemoved: ignore, onBatch: ignore, onWritten: ignore, onQuarantined: ignore, onFault: ignore };

async function shard(name: string, size: number, more: Partial<ShardOptions>, removing: boolean): Promise<void> {
  const spoolPath = mkdtempSync(join(tmpdir(), "hikyaku-bench-"));
  const options: ShardOptions = {
    spoolPath,
    shard: 0 as ShardIndex,
    durability: "flushed",
    clock: new SystemClock(),
    events: nothing,
    recentBytes: 0,
    syncIntervalMs: 1000,
    check: true,
    ...more,
  };
  const spool = Shard.open(options);
  const recipients = [{ recipient: "someone@example.net", queue: "example.net" }];
  const one = (next: () => void): void => {
    const firstKey = spool.newKeys(1);
    const content = Buffer.alloc(size, 97);
    const onStored = (): void => {
      if (removing) spool.remove(firstKey, 0);
      next();
    };
    const message = { firstKey, content, sender: "news@example.com", recipients, reception };
    const plain = { meta: null, flags: 0, dueMs: 0, hold: null, forceFlush: false, deferred: false };
    spool.storeTransaction({ ...message, ...plain }, { onStored });
  };
  const file = join(shardDirectory(spoolPath, options.shard), "data.mdb");
  await measure(
    name,
    size,
    one,
    () => spool.stats.commits,
    file,
    () => spool.close(),
  );
  rmSync(spoolPath, { recursive: true });
}

for (const pass of ["warm-up", "measured"]) {
  if (pass === "measured") total = messages;
  console.log(pass);
  for (const size of [1024, 10_240]) {
    for (const way of ["put", "gathered", "batch", "append", "transaction", "sync"] as const) await raw(way, size);
    await shard("shard", size, {}, false);
    await shard("shard, recent mail", size, { recentBytes: 16 << 20 }, false);
    await shard("shard+remove", size, { recentBytes: 16 << 20 }, true);
    await shard("committed", size, { durability: "committed" }, false);
  }
}
