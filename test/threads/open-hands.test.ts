/** What a start finds of the last run's notes, and what a stop leaves. */
import assert from "node:assert/strict";
import type { EventEmitter } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { ShardIndex, SpoolKey, WorkerIndex } from "../../src/base/brands.js";
import { ManualClock } from "../../src/base/clock.js";
import { Fault } from "../../src/base/fault.js";
import { Undo } from "../../src/base/undo.js";
import type { CompiledConfig } from "../../src/config/compiled.js";
import { loadConfig } from "../../src/config/load.js";
import type { Native } from "../../src/native/binding.js";
import { loadNative } from "../../src/native/load.js";
import { StandIn } from "../../src/native/stand-in.js";
import { DEATH_AT, DIED_OF_A_BUG, HANDS_BYTES, Hand, Hands, lineOf, Work } from "../../src/protocol/layout/hands.js";
import { openHands } from "../../src/threads/open-hands.js";
import { makeDir, removeDir, writeConfig } from "../support/server.js";

function scene(t: TestContext): { config: CompiledConfig; path: string } {
  const dir = makeDir();
  t.after(() => removeDir(dir));
  const { config } = loadConfig(writeConfig(dir, {}));
  mkdirSync(config.spool.path, { recursive: true });
  const named = { ...config, node: { ...config.node, nodeId: "0198c0de-5a5a-7000-8000-0123456789ab" } };
  return { config: named, path: join(config.spool.path, "in-hand") };
}

async function open(native: Native, config: CompiledConfig) {
  const notices: string[] = [];
  const undo = new Undo();
  const opened = await openHands(native, config, new ManualClock(), (line) => notices.push(line), undo);
  return { ...opened, notices, undo };
}

/** The file as a process leaves it that died of this with these in its workers' hands. */
function leave(path: string, notes: readonly (readonly [worker: number, key: number])[], death = 0, line = 0): void {
  const memory = new ArrayBuffer(HANDS_BYTES);
  new Hands(memory).begin();
  new Float64Array(memory)[DEATH_AT / 8] = death;
  new Float64Array(memory)[DEATH_AT / 8 + 1] = line;
  for (const [worker, key] of notes) {
    new Hand(memory, worker as WorkerIndex).take(3 as ShardIndex, key as SpoolKey, Work.sending);
  }
  writeFileSync(path, new Uint8Array(memory));
}

test("what the last run had in hand is a strike each, on disk before anybody works; then the notes begin anew", async (t) => {
  const { config, path } = scene(t);
  const both = [
    [0, 77],
    [200, 78],
  ] as const;
  leave(path, both, 6);
  const { strikes, hands, notices, undo } = await open(loadNative(), config);
  assert.equal(strikes.size, 2);
  assert.equal((JSON.parse(readFileSync(join(config.spool.path, "strikes.json"), "utf8")) as unknown[]).length, 2);
  assert.match(
    notices[0] ?? "",
    /^the last run died of SIGABRT while a worker was sending message [0-9a-f]{32}: strike 1$/,
  );
  assert.equal(hands.held(0 as WorkerIndex), null);
  await undo.run();
  assert.equal(existsSync(path), false);
  leave(path, [[1, 77]], DIED_OF_A_BUG);
  const again = await open(loadNative(), config);
  assert.notEqual(again.strikes.sentence(3 as ShardIndex, 77 as SpoolKey), null);
  assert.equal(again.strikes.sentence(3 as ShardIndex, 78 as SpoolKey), null);
  assert.match(again.notices[0] ?? "", /^the last run died of an internal error while .*: strike 2$/);
  await again.undo.run();
});

test("a run that ended without a sign of its own doing is held against nobody but at the third time", async (t) => {
  const { config, path } = scene(t);
  const key = 77 as SpoolKey;
  const shard = 3 as ShardIndex;
  for (const times of [1, 2, 3]) {
    // What is no number that a process leaves is no sign.
    leave(path, [[0, key]], [0, -3, Number.NaN][times - 1]);
    const { strikes, notices, undo } = await open(loadNative(), config);
    assert.match(
      notices[0] ?? "",
      new RegExp(
        `^the last run was ended while a worker was sending message .*: perhaps not its doing, ${times} of 3$`,
      ),
    );
    assert.equal(strikes.sentence(shard, key) !== null, times === 3);
    await undo.run();
  }
});

test("a crash is a full strike for what its own thread had in hand, a lesser one for the others, and for all if it was none of theirs", async (t) => {
  const { config, path } = scene(t);
  const shard = 3 as ShardIndex;
  const both = [
    [0, 77],
    [200, 78],
  ] as const;
  for (const round of [1, 2]) {
    leave(path, both, 11, lineOf(200 as WorkerIndex));
    const { notices, undo } = await open(loadNative(), config);
    assert.match(
      notices[0] ?? "",
      new RegExp(`^the last run died of SIGSEGV on another thread while .*: perhaps not its doing, ${round} of 3$`),
    );
    assert.match(notices[1] ?? "", new RegExp(`^the last run died of SIGSEGV while a worker .*: strike ${round}$`));
    await undo.run();
  }
  // The main thread's line is none; a number that is no worker's is none either.
  for (const [round, line] of [-1, 1.5, 1e9].entries()) {
    leave(path, [[1, 80]], 11, line);
    const { strikes, undo } = await open(loadNative(), config);
    assert.equal(strikes.sentence(shard, 78 as SpoolKey) !== null, true);
    assert.equal(strikes.sentence(shard, 77 as SpoolKey), null);
    assert.equal(strikes.sentence(shard, 80 as SpoolKey) !== null, round === 2, "three lesser ones are a sentence");
    await undo.run();
  }
});

test("with the addon this process leaves a sign of its own death: an exception that nobody caught, a broken invariant", async (t) => {
  const native = loadNative();
  if (native.kind !== "addon") return t.skip("needs the addon");
  const { config, path } = scene(t);
  const listeners = process.listenerCount("uncaughtExceptionMonitor");
  const { hands, undo } = await open(native, config);
  const onDisk = (): number => new Hands(new Uint8Array(readFileSync(path)).buffer).death;
  assert.equal(onDisk(), 0);
  const node: EventEmitter = process;
  node.emit("uncaughtExceptionMonitor", new Error("x"), "uncaughtException");
  assert.equal(onDisk(), DIED_OF_A_BUG);
  hands.begin();
  assert.equal(onDisk(), 0);
  const bug = new Error("y");
  assert.equal(hands.dyingOf(bug), bug);
  assert.equal(onDisk(), DIED_OF_A_BUG);
  await undo.run();
  assert.equal(process.listenerCount("uncaughtExceptionMonitor"), listeners);
});

test("a start that cannot have deaths noted says so and goes on", async (t) => {
  const native = loadNative();
  if (native.kind !== "addon") return t.skip("needs the addon");
  const { config } = scene(t);
  t.mock.method(native, "markDeaths", () => {
    throw new Fault("spool.unwritable", "cannot note deaths: ENOMEM", { errno: "ENOMEM" });
  });
  const { notices, undo } = await open(native, config);
  assert.deepEqual(notices, ["a crash will count as an end from outside: cannot note deaths: ENOMEM"]);
  await undo.run();
});

test("a file that is too short or none of ours holds nothing", async (t) => {
  const { config, path } = scene(t);
  for (const bytes of [0, 100, HANDS_BYTES]) {
    writeFileSync(path, Buffer.alloc(bytes, 0x41));
    const { strikes, undo } = await open(loadNative(), config);
    assert.equal(strikes.size, 0);
    await undo.run();
  }
});

test("with the addon a note is in the file as soon as it is made, by whichever thread maps it", async (t) => {
  const native = loadNative();
  if (native.kind !== "addon") return t.skip("needs the addon");
  const { config, path } = scene(t);
  const { memory, hands, undo } = await open(native, config);
  assert.equal(memory, path);
  const mapped = native.mapFile(path, HANDS_BYTES);
  assert.ok(mapped !== null);
  new Hand(mapped, 5 as WorkerIndex).take(1 as ShardIndex, 9 as SpoolKey, Work.deciding);
  assert.deepEqual(hands.held(5 as WorkerIndex), { shard: 1, key: 9, work: Work.deciding });
  const onDisk = new Hands(new Uint8Array(readFileSync(path)).buffer);
  assert.deepEqual(onDisk.held(5 as WorkerIndex), { shard: 1, key: 9, work: Work.deciding });
  await undo.run();
});

test("without the addon, or without room for the file, memory does, and that is said", async (t) => {
  const { config, path } = scene(t);
  const full = new StandIn();
  full.mapFile = () => {
    throw new Fault("spool.unwritable", "cannot map it: ENOSPC", { errno: "ENOSPC" });
  };
  for (const native of [new StandIn(), full]) {
    leave(path, []);
    const { memory, notices, undo } = await open(native, config);
    assert.ok(memory instanceof SharedArrayBuffer);
    assert.match(
      notices[0] ?? "",
      /a message that ends the whole process will not be known for it: (there is no|.*ENOSPC)/,
    );
    await undo.run();
  }
});
