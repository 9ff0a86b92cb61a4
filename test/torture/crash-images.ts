/**
 * What a crash of the machine may leave of a shard: the writes of a short run are recorded with strace, and the file is
 * built anew as the disk may have had it at chosen moments. Each such file must open, hold every message that a client
 * had been promised by then, whole, and no transaction in part.
 *
 *     write write │ sync │ meta (through O_DSYNC) │ 250 │ write …
 *           ▲         ▲                              ▲
 *        any part    all of it                    only what was synced
 *
 * Drives that lie about having written are not covered.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Random, SeededRandom } from "../../src/base/random.js";
import { markShard } from "../../src/worker/spool/directories.js";
import { until, writeConfig } from "../support/server.js";
import { readShard, type StoredEvidence, storedAt } from "./evidence.js";
import { Load, MIXED } from "./load.js";
import { Scene } from "./scene.js";
import { readTrace, type Step, TRACE_ARGUMENTS } from "./write-trace.js";

const DATABASE = "/shard-000/data.mdb";
const PAGE = 4096;
const WAITING = 150;

/** Why writes cannot be recorded here, null when they can. */
export function traceRefusal(): string | null {
  const able = spawnSync("strace", ["-f", "-e", "trace=none", "true"]).status === 0;
  return able ? null : "recording writes needs strace and the right to trace processes";
}

/** A disk with a cache: what is certainly on it, and what may be. */
class Disk {
  #bytes: Buffer = Buffer.alloc(0);
  #cached: { readonly at: number; readonly bytes: Buffer }[] = [];

  get cached(): number {
    return this.#cached.length;
  }

  write(at: number, bytes: Buffer, durable: boolean): void {
    if (durable) this.#bytes = laid(this.#bytes, at, bytes);
    else this.#cached.push({ at, bytes });
  }

  sync(): void {
    for (const { at, bytes } of this.#cached) this.#bytes = laid(this.#bytes, at, bytes);
    this.#cached = [];
  }

  /** What was synced. */
  surely(): Buffer {
    return this.#bytes;
  }

  /** What was synced, and of what was not, whichever pages the disk happened to write. */
  perhaps(random: Random): Buffer {
    let image = this.#bytes;
    for (const { at, bytes } of this.#cached) {
      for (let from = 0; from < bytes.length; from += PAGE) {
        if (random.next() < 0.5) image = laid(image, at + from, bytes.subarray(from, from + PAGE));
      }
    }
    return image;
  }
}

function laid(file: Buffer, at: number, bytes: Buffer): Buffer {
  const grown = Buffer.alloc(Math.max(file.length, at + bytes.length));
  file.copy(grown);
  bytes.copy(grown, at);
  return grown;
}

/** Records a run and tries at most `images` of the files that a crash could have left. */
export function crashImages(seed: number, images: number): Promise<string> {
  const random = new SeededRandom(seed);
  return Scene.play({ latencyMs: 0, random }, async (scene) => {
    const load = new Load({ ...MIXED, clients: 6, maxBytes: 30_000, wrong: 0.05, random });
    const steps = await record(scene, load);
    const transactions = load.sent.map(({ recipients }) => recipients);
    const acks = steps.filter(({ kind }) => kind === "ack").length;
    const sent = load.sent.filter(({ promised }) => promised === "accepted").length;
    assert.equal(acks, sent, "every acceptance was recorded");
    const moments = steps.filter(({ kind }) => kind !== "write").length + steps.length;
    const share = images / moments;
    const disk = new Disk();
    const promised: string[] = [];
    let tried = 0;
    const check = async (image: Buffer, what: string): Promise<void> => {
      if (random.next() >= share) return;
      tried++;
      await checkImage(image, promised, transactions, what);
    };
    for (const [at, step] of steps.entries()) {
      if (step.kind === "write") disk.write(step.at, step.bytes, step.durable);
      else if (step.kind === "sync") disk.sync();
      else promised.push(...step.ids);
      await check(disk.surely(), `step ${at}, after ${step.kind}, only what was synced`);
      if (disk.cached > 0) await check(disk.perhaps(random), `step ${at}, after ${step.kind}, and parts of the rest`);
    }
    await checkImage(disk.surely(), promised, transactions, "the end");
    return `${steps.length} steps, ${acks} acceptances, ${tried + 1} images: all open, nothing promised is missing, nothing is there in part`;
  });
}

async function record(scene: Scene, load: Load): Promise<Step[]> {
  const trace = join(scene.dir, "trace");
  // Nobody listens there: everything stays in the spool.
  writeConfig(scene.dir, { workers: 1, to: "127.0.0.1:1", queue: 'retry_interval = "1s"' });
  const { where } = await scene.start({ prefix: ["strace", ...TRACE_ARGUMENTS, "-o", trace] });
  const { pid } = JSON.parse(readFileSync(join(scene.dir, "ready.json"), "utf8")) as { pid: number };
  try {
    load.run(where.smtp);
    await until(() => load.accepted >= WAITING, "mail to wait");
    await load.stop();
  } finally {
    // The server, not its tracer, which ends with it.
    process.kill(pid, "SIGKILL");
  }
  await scene.gone();
  return readTrace(readFileSync(trace, "latin1"), DATABASE);
}

async function checkImage(
  image: Buffer,
  promised: readonly string[],
  transactions: readonly (readonly string[])[],
  what: string,
): Promise<void> {
  const spool = mkdtempSync(join(tmpdir(), "hikyaku-image-"));
  try {
    mkdirSync(join(spool, "shard-000"));
    writeFileSync(join(spool, "shard-000", "data.mdb"), image);
    // Before the first mail a shard may still be in the making; afterwards it has its mark, and nothing is forgiven.
    if (promised.length > 0) markShard(join(spool, "shard-000"));
    const found = new Map<string, StoredEvidence>();
    try {
      await readShard(spool, 0, found);
    } catch (error) {
      throw new Error(`${what}: it does not open`, { cause: error });
    }
    for (const id of promised) assert.ok(found.has(storedAt(id)), `${what}: ${id} was promised and is not there`);
    const there = new Set([...found.values()].map(({ recipient }) => recipient));
    for (const recipients of transactions) {
      const kept = recipients.filter((recipient) => there.has(recipient)).length;
      assert.ok(kept === 0 || kept === recipients.length, `${what}: half of a transaction: ${recipients.join(" ")}`);
    }
  } finally {
    rmSync(spool, { recursive: true, force: true });
  }
}
