/**
 * Spools that are not as their server left them: bytes flipped, files gone, other numbers of workers, a second server,
 * no right to write.
 */
import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Random, SeededRandom } from "../../src/base/random.js";
import { until, writeConfig } from "../support/server.js";
import { type EvidenceRecord, readEvidence, readSpool } from "./evidence.js";
import { Load, MIXED } from "./load.js";
import { drained, type LaunchOptions, metric } from "./program.js";
import { Scene } from "./scene.js";
import { describeSummary, judge, type Summary } from "./verdict.js";

const WAITING = 120;
const DRAIN_MS = 60_000;
const RETRY = 'retry_interval = "1s"\nmax_retry_interval = "1s"';
/** Nobody listens there. */
const NOWHERE = "127.0.0.1:1";
const NOBODY = 65534;

function configure({ dir, sink }: Scene, workers: number, open: boolean): void {
  writeConfig(dir, { workers, to: open ? `127.0.0.1:${sink.port}` : NOWHERE, queue: RETRY });
}

/** Sends until so many recipients wait, then stops the server in order. */
async function fill(scene: Scene, load: Load, workers: number, count: number): Promise<void> {
  configure(scene, workers, false);
  const { program, where } = await scene.start();
  const wanted = load.accepted + count;
  load.run(where.smtp);
  await until(() => load.accepted >= wanted, "mail to wait");
  await load.stop();
  assert.equal((await program.stop()).code, 0, program.err);
}

/** Lets everything go out and judges. */
async function deliver(scene: Scene, load: Load, workers: number): Promise<Summary> {
  configure(scene, workers, true);
  const { program, where } = await scene.start();
  await drained(where, DRAIN_MS);
  assert.equal((await program.stop()).code, 0, program.err);
  const { dir, sink } = scene;
  return judge({ sent: load.sent, sink, log: readEvidence(dir), spool: await readSpool(dir), deathsMs: [] }, true);
}

function shardFile(scene: Scene, shard: number): string {
  return join(scene.dir, "var", "spool", `shard-00${shard}`, "data.mdb");
}

function play<T>(seed: number, story: (scene: Scene, load: Load, random: Random) => Promise<T>): Promise<T> {
  const random = new SeededRandom(seed);
  const load = new Load({ ...MIXED, clients: 8, maxBytes: 20_000, wrong: 0, bounce: 0, defer: 0, random });
  return Scene.play({ latencyMs: 5, random }, (scene) => story(scene, load, random));
}

/** 1 → 3 → 2 → 1 workers, mail waiting each time: everything is delivered, once. */
export function otherWorkers(seed: number): Promise<string> {
  return play(seed, async (scene, load) => {
    for (const workers of [1, 3, 2]) await fill(scene, load, workers, WAITING);
    assert.equal(readdirSync(join(scene.dir, "var", "spool")).filter((name) => /^shard-\d+$/.test(name)).length, 3);
    return describeSummary(await deliver(scene, load, 1));
  });
}

/** Bytes of one row and of one body are flipped: those two are set aside and counted, the others are delivered. */
export function damagedRecords(seed: number): Promise<string> {
  return play(seed, async (scene, load) => {
    await fill(scene, load, 1, WAITING);
    const file = shardFile(scene, 0);
    const bytes = readFileSync(file);
    const waiting = [...(await readSpool(scene.dir)).values()];
    const single = load.sent.filter(({ recipients }) => recipients.length === 1).map(({ recipients }) => recipients[0]);
    const [row, body] = waiting.filter(({ recipient }) => single.includes(recipient));
    assert.ok(row !== undefined && body !== undefined);
    const flip = (text: string): void => {
      // Pages that are free now may hold older copies: all of them are damaged, the living one among them.
      let found = 0;
      for (let at = bytes.indexOf(text, 0, "latin1"); at >= 0; at = bytes.indexOf(text, at + 1, "latin1")) {
        bytes[at + 2] = (bytes[at + 2] as number) ^ 0x55;
        found++;
      }
      assert.ok(found > 0, `${text} is in the file`);
    };
    flip(row.recipient);
    flip(/X-Sum: [0-9a-f]{32}/.exec(body.content)?.[0] ?? "");
    writeFileSync(file, bytes);
    configure(scene, 1, true);
    const { program, where } = await scene.start();
    await drained(where, DRAIN_MS);
    await until(() => (program.err.match(/quarantine/g) ?? []).length >= 2, "two notices");
    assert.equal(await metric(where, "spool_quarantined_total"), 2);
    assert.equal((await program.stop()).code, 0);
    const lost = new Set([row.recipient, body.recipient]);
    const ends = readEvidence(scene.dir).records.filter(({ type }) => type === "AdminBounce");
    assert.equal(ends.length, 2, "each has its record");
    const files = readdirSync(join(scene.dir, "var", "spool", "quarantine"));
    assert.equal(files.filter((name) => name.endsWith(".meta")).length, 2, files.join(" "));
    const arrived = new Map<string, number>();
    for (const { recipient } of scene.sink.arrivals) arrived.set(recipient, (arrived.get(recipient) ?? 0) + 1);
    for (const { recipient } of waiting) {
      assert.equal(arrived.get(recipient) ?? 0, lost.has(recipient) ? 0 : 1, recipient);
    }
    return `${waiting.length} waiting, 2 damaged and set aside, ${scene.sink.arrivals.length} delivered`;
  });
}

/** What must never be opened as if it were an empty spool: a start that is refused in one line, and nothing is touched. */
export function refusedSpools(seed: number): Promise<string> {
  return play(seed, async (scene, load) => {
    await fill(scene, load, 2, WAITING);
    const file = shardFile(scene, 1);
    const directory = join(file, "..");
    const good = readFileSync(file);
    const refused = async (what: string, pattern: RegExp, options: LaunchOptions = {}): Promise<void> => {
      const program = scene.launch(options);
      assert.equal(await program.ready(), null, `${what}: the server started`);
      const end = await program.ended;
      assert.deepEqual(end, { code: 1, signal: null }, `${what}: ${program.err}`);
      // The other shard's worker may have found its mail by then.
      const said = program.err.split("\n").filter((line) => !/messages found$|^$/.test(line));
      assert.equal(said.length, 1, `${what}: one line, not ${program.err}`);
      assert.match(said[0] as string, pattern, what);
    };
    const meta = Buffer.from(good);
    meta.fill(0xa5, 16, 64);
    writeFileSync(file, meta);
    await refused("a damaged meta page", /meta page/);
    assert.deepEqual(readFileSync(file), meta, "it is left alone");
    rmSync(file);
    await refused("a missing database", /shard-001.*missing.*in use/);
    writeFileSync(file, "");
    await refused("an empty database", /shard-001.*empty.*in use/);
    rmSync(directory, { recursive: true });
    await refused("a missing shard", /shard-001.*missing.*in use/);
    assert.ok(!existsSync(directory), "it is not made anew");
    mkdirSync(directory);
    writeFileSync(file, good);
    const spool = everythingBelow(join(scene.dir, "var", "spool"));
    const isRoot = process.getuid?.() === 0;
    // Rights mean nothing to root: somebody else tries.
    for (const path of isRoot ? everythingBelow(scene.dir) : []) chownSync(path, NOBODY, NOBODY);
    for (const path of spool) chmodSync(path, statSync(path).isDirectory() ? 0o500 : 0o400);
    await refused("a read-only directory", /var\/spool.*(permission|EACCES)/i, isRoot ? { uid: NOBODY } : {});
    for (const path of spool) chmodSync(path, statSync(path).isDirectory() ? 0o700 : 0o600);
    for (const path of isRoot ? everythingBelow(scene.dir) : []) chownSync(path, 0, 0);
    // With everything in its place again nothing is missing.
    await deliver(scene, load, 2);
    return "damaged meta page, missing and empty database, missing shard, read-only directory: refused in one line";
  });
}

function everythingBelow(path: string): string[] {
  const names = readdirSync(path, { recursive: true, encoding: "utf8" });
  return [path, ...names.map((name) => join(path, name))];
}

/** The last line of the log is cut; a second server comes; then everything goes out, and the numbers go on. */
export function tornLog(seed: number): Promise<string> {
  return play(seed, async (scene, load) => {
    await fill(scene, load, 1, WAITING);
    const log = join(scene.dir, "var", "log");
    const name = readdirSync(log)
      .filter((one) => one.endsWith(".jsonl"))
      .sort()
      .at(-1);
    assert.ok(name !== undefined);
    const file = join(log, name);
    const before: readonly EvidenceRecord[] = readEvidence(scene.dir).records;
    const text = readFileSync(file, "latin1");
    chmodSync(file, 0o640);
    truncateSync(file, text.length - 40);
    configure(scene, 1, true);
    const { program, where } = await scene.start();
    const second = scene.launch();
    assert.deepEqual(await second.ended, { code: 1, signal: null });
    assert.match(second.err, new RegExp(`^hikyaku: the spool .* process ${program.child.pid}\\n$`));
    load.run(where.smtp);
    await until(() => load.accepted >= 2 * WAITING, "the first one to take mail");
    await load.stop();
    await drained(where, DRAIN_MS);
    assert.equal((await program.stop()).code, 0);
    const evidence = readEvidence(scene.dir);
    assert.equal(evidence.torn.length, 1, "the cut line is the only one that cannot be read");
    const newest = Math.max(...before.map(({ seq }) => seq));
    const later = evidence.records.filter((record) => !before.some(({ seq }) => seq === record.seq));
    assert.ok(
      later.every(({ seq }) => seq > newest - 1),
      "numbers go on behind those that were used",
    );
    const { dir, sink } = scene;
    return describeSummary(
      judge({ sent: load.sent, sink, log: evidence, spool: await readSpool(dir), deathsMs: [] }, true),
    );
  });
}
