/** A message that kills its worker, or the whole process, or makes it spin: quarantined at the second time, over restarts too. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { WorkerIndex } from "../../src/base/brands.js";
import { SeededRandom } from "../../src/base/random.js";
import { loadNative } from "../../src/native/load.js";
import { Hands } from "../../src/protocol/layout/hands.js";
import { makeDir, readLog, removeDir, until, writeConfig } from "../support/server.js";
import { connectAndGreet, type SmtpClient } from "../support/smtp-client.js";
import { RecordingSink } from "../torture/sink.js";

const main = new URL("../../src/cli/main.js", import.meta.url).pathname;
const POISON = "poison@bad.example";

interface Ready {
  readonly smtp: readonly { readonly port: number }[];
  readonly http: readonly { readonly port: number }[];
}

/** A server of its own process, whose failures are ordered in `faults`. */
class Victim {
  readonly dir = makeDir();
  readonly faults = join(this.dir, "faults");
  readonly #noted = join(this.dir, "var", "spool", "in-hand");
  readonly #strikes = join(this.dir, "var", "spool", "strikes.json");
  words = "";
  ready: Ready = { smtp: [], http: [] };
  #child: ChildProcess | null = null;
  #exited: Promise<unknown> = Promise.resolve();

  constructor(t: TestContext, workers = 2, queue = "", watchdogSeconds = 1) {
    const config = writeConfig(this.dir, queue === "" ? {} : { queue });
    const text = readFileSync(config, "utf8");
    writeFileSync(config, text.replace("workers = 1", `workers = ${workers}\nwatchdog_timeout = ${watchdogSeconds}`));
    this.order("");
    t.after(() => {
      this.#child?.kill("SIGKILL");
      removeDir(this.dir);
    });
  }

  order(line: string): void {
    writeFileSync(this.faults, `${line}\n`);
  }

  /** Starts, and waits until it listens or is gone; returns whether it listens. */
  async start(): Promise<boolean> {
    const file = join(this.dir, "ready.json");
    rmSync(file, { force: true });
    const child = spawn(
      process.execPath,
      [main, "start", "--no-events", "--config", join(this.dir, "hikyaku.toml"), "--ready-file", file],
      { stdio: ["ignore", "ignore", "pipe"], cwd: this.dir, env: { ...process.env, HIKYAKU_FAULTS: this.faults } },
    );
    this.#child = child;
    child.stderr.on("data", (chunk: Buffer) => (this.words += chunk.toString()));
    let gone = false;
    this.#exited = once(child, "close").then(() => (gone = true));
    await until(() => existsSync(file) || gone, "the server to start");
    if (existsSync(file)) this.ready = JSON.parse(readFileSync(file, "utf8")) as Ready;
    return existsSync(file);
  }

  /** Waits until it has gone by itself. */
  async died(): Promise<void> {
    await this.#exited;
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    this.#child?.kill(signal);
    await this.#exited;
  }

  /** A client whose worker is just going down is hung up on, and comes again. */
  async connect(): Promise<SmtpClient> {
    const port = this.ready.smtp[0]!.port;
    for (const limit = performance.now() + 60_000; ; ) {
      try {
        return await connectAndGreet(port);
      } catch (error) {
        if (performance.now() > limit) throw error;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
  }

  async send(...recipients: string[]): Promise<void> {
    const client = await this.connect();
    for (const recipient of recipients) {
      const reply = await client.send("s@x.example", [recipient], `Subject: ${recipient}\r\n\r\nText`);
      assert.match(reply, /^250 /);
    }
    await client.end();
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${this.ready.http[0]!.port}/metrics`)).text();
    return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1]);
  }

  records(type: string): string[] {
    return readLog(this.dir)
      .filter((record) => record.type === type)
      .map((record) => record.recipient)
      .sort();
  }

  /** The messages that have an AdminBounce, one entry per record. */
  bounced(): string[] {
    return readLog(this.dir)
      .filter((record) => record.type === "AdminBounce")
      .map((record) => record.id);
  }

  quarantine(): string[] {
    const path = join(this.dir, "var", "spool", "quarantine");
    return existsSync(path) ? readdirSync(path) : [];
  }

  get strikes(): unknown[] {
    return existsSync(this.#strikes) ? (JSON.parse(readFileSync(this.#strikes, "utf8")) as unknown[]) : [];
  }

  /** The poison is in quarantine with one record; the others were delivered once; nothing is left. */
  async mustBeClean(others: readonly string[]): Promise<void> {
    await until(() => this.records("AdminBounce").length > 0, "the quarantine");
    await until(() => this.records("Delivery").length === others.length, "the others");
    while ((await this.metric("message_count")) > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual(this.records("AdminBounce"), [POISON]);
    assert.deepEqual(this.records("Delivery"), [...others].sort());
    const files = this.quarantine().sort();
    assert.equal(files.length, 2);
    const body = join(this.dir, "var", "spool", "quarantine", files.find((name) => name.endsWith(".eml")) ?? "");
    assert.match(readFileSync(body, "utf8"), /Subject: poison@bad\.example/);
    await until(() => this.strikes.length === 0, "the strikes to be forgotten");
    await this.stop();
    assert.ok(!existsSync(this.#noted), "a stop in order leaves no notes");
  }

  /** Nothing of what is gone is there again at the next start. */
  async mustStayClean(): Promise<void> {
    assert.equal(await this.start(), true);
    assert.equal(await this.metric("message_count"), 0, "nothing comes back");
    await this.stop();
  }

  /** Writes down that the message which is in hand now was so at earlier kills too, as a start after each would have. */
  rememberKills(unknown: number): void {
    const hands = new Hands(new Uint8Array(readFileSync(this.#noted)).buffer);
    const held = [0, 1].map((worker) => hands.held(worker as WorkerIndex)).find((note) => note !== null);
    assert.ok(held, "the kill left no note");
    const strike = { ...held, deaths: 0, unknown, onlySending: true, untouchable: false, atMs: Date.now() };
    writeFileSync(this.#strikes, JSON.stringify([strike]));
  }
}

const before = Array.from({ length: 20 }, (_, n) => `b${n}@d${n % 3}.example`);
const after = Array.from({ length: 20 }, (_, n) => `a${n}@d${n % 3}.example`);

test("a message that throws in its worker is quarantined at the second death; others are delivered once", async (t) => {
  const victim = new Victim(t);
  assert.equal(await victim.start(), true);
  await victim.send(...before);
  await until(() => victim.records("Delivery").length === before.length, "the first ones");
  victim.order(`egress.send throw ${POISON}`);
  await victim.send(POISON);
  await until(() => victim.records("AdminBounce").length > 0, "the quarantine");
  await victim.send(...after);
  assert.match(
    victim.words,
    /died and is being replaced: died on order .* it was sending message [0-9a-f]{32}, whose strike 1/,
  );
  assert.match(
    victim.words,
    /moved to quarantine: 2 times a worker died or hung with it in hand, last while sending it/,
  );
  const sums = ["workers_lost_total", "workers_stuck_total", "message_strikes_total", "spool_quarantined_total"];
  assert.deepEqual(await Promise.all(sums.map((name) => victim.metric(name))), [2, 0, 2, 1]);
  await victim.mustBeClean([...before, ...after]);
  await victim.mustStayClean();
});

test("of three messages that kill, sent together, each has one record, although workers die while others are removed", async (t) => {
  const victim = new Victim(t, 1);
  const poisons = [1, 2, 3].map((n) => `${n}${POISON}`);
  victim.order("egress.send throw @bad");
  assert.equal(await victim.start(), true);
  const client = await victim.connect();
  assert.match(await client.send("s@x.example", poisons, "Subject: three\r\n\r\nText"), /^250 /);
  await client.end().catch(() => {});
  await until(() => new Set(victim.bounced()).size >= poisons.length, "the quarantines");
  victim.order("");
  await until(() => victim.strikes.length === 0, "the strikes to be forgotten");
  while ((await victim.metric("message_count")) > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(await victim.metric("message_strikes_total"), 2 * poisons.length);
  assert.deepEqual(victim.records("AdminBounce"), poisons, "one record each, which names its recipient");
  assert.equal(victim.quarantine().length, 2 * poisons.length);
  await victim.stop();
});

test("a message that makes its worker spin is found by the watchdog, twice", async (t) => {
  const victim = new Victim(t);
  victim.order(`egress.send loop ${POISON}`);
  assert.equal(await victim.start(), true);
  await victim.send(POISON);
  await until(() => victim.records("AdminBounce").length > 0, "the quarantine");
  await victim.send(...after);
  assert.match(victim.words, /ended by the watchdog: no turn for more than 1 s, and not for waiting; it was sending/);
  const sums = ["workers_lost_total", "workers_stuck_total", "spool_quarantined_total"];
  assert.deepEqual(await Promise.all(sums.map((name) => victim.metric(name))), [2, 2, 1]);
  await victim.mustBeClean(after);
});

test("a message that makes its worker spin is found also while the spool fails", async (t) => {
  const sink = await RecordingSink.start({ latencyMs: 0, random: new SeededRandom(1) });
  t.after(() => sink.stop());
  const hosts = `protocol = { smtp = { mx_list = ["127.0.0.1:${sink.port}"] } }`;
  const victim = new Victim(t, 1, `${hosts}\nretry_interval = "2s"`);
  assert.equal(await victim.start(), true);
  const client = await victim.connect();
  await victim.send(`late-1-${POISON}`);
  await until(() => victim.records("TransientFailure").length > 0, "the first attempt");
  victim.order(`spool.commit error EIO\negress.send loop ${POISON}`);
  assert.match(await client.say("MAIL FROM:<s@x.example>"), /^250 /);
  await client.say("RCPT TO:<a@b.example>");
  await client.say("DATA");
  assert.match(await client.say("Subject: x\r\n\r\ntext\r\n."), /^451 /);
  await until(() => /ended by the watchdog: .*it was sending/.test(victim.words), "the watchdog");
  victim.order("");
  await until(() => victim.records("Delivery").length === 1, "the delivery, now that it is harmless");
  await victim.stop();
});

/** A server that was killed after a first worker had died of the poison, and before a second one did. */
async function killedBetween(t: TestContext): Promise<Victim> {
  for (let tries = 0; tries < 10; tries++) {
    const victim = new Victim(t, 1);
    victim.order(`egress.send throw ${POISON}`);
    assert.equal(await victim.start(), true);
    const sending = victim.send(POISON);
    await until(() => victim.strikes.length === 1, "the first strike on disk");
    await victim.stop("SIGKILL");
    await sending.catch(() => {});
    // Its successor begins after a pause of 50 ms; on a busy machine we may be slower.
    if (!/strike 2/.test(victim.words)) return victim;
  }
  throw new Error("never killed between the two deaths");
}

test("a strike counts after a restart: one death before, one after", async (t) => {
  const victim = await killedBetween(t);
  victim.words = "";
  await victim.start();
  await until(() => /strike 2/.test(victim.words), "the second death");
  assert.doesNotMatch(victim.words, /strike [13]/);
  await victim.send(...after);
  await victim.mustBeClean(after);
});

test("a message that takes the process with it is quarantined at the third start", async (t) => {
  if (loadNative().kind !== "addon") return t.skip("notes outlive the process with the native addon only");
  const victim = new Victim(t);
  victim.order(`egress.send abort ${POISON}`);
  assert.equal(await victim.start(), true);
  await victim.send(POISON).catch(() => {});
  await victim.died();
  assert.deepEqual(victim.quarantine(), []);
  await victim.start();
  await victim.died();
  assert.match(victim.words, /the last run died of SIGABRT while a worker was sending message [0-9a-f]{32}: strike 1/);
  assert.equal(victim.strikes.length, 1);
  assert.equal(await victim.start(), true);
  assert.match(victim.words, /the last run died of SIGABRT while a worker was sending message [0-9a-f]{32}: strike 2/);
  assert.equal(await victim.metric("message_strikes_total"), 1);
  await victim.send(...after);
  await victim.mustBeClean(after);
  await victim.mustStayClean();
});

/** Kills the server from outside, for the so-manieth time, with the poison surely in a worker's hands. */
async function killWithItInHand(victim: Victim, times: number): Promise<void> {
  victim.order(`egress.send loop ${POISON}`);
  assert.equal(await victim.start(), true);
  // Its worker says nothing more, to its client neither.
  const sending = victim.send(POISON).catch(() => {});
  await until(() => victim.words.includes("egress.send spins on order"), "the message to be in hand");
  await victim.stop("SIGKILL");
  await sending;
  // The times before are what a start after each would have noted: it costs a second and shows nothing new.
  victim.rememberKills(times - 1);
  victim.order("");
}

test("a message that was in hand at two kills from outside lives on and is delivered", async (t) => {
  if (loadNative().kind !== "addon") return t.skip("notes outlive the process with the native addon only");
  const victim = new Victim(t, 2, "", 600);
  await killWithItInHand(victim, 2);
  assert.equal(await victim.start(), true);
  assert.match(
    victim.words,
    /the last run was ended while a worker was sending message .*: perhaps not its doing, 2 of 3/,
  );
  await until(() => victim.records("Delivery").length > 0, "the delivery");
  assert.deepEqual(victim.records("Delivery"), [POISON]);
  assert.deepEqual(victim.records("AdminBounce"), []);
  assert.deepEqual(victim.quarantine(), []);
  await until(() => victim.strikes.length === 0, "the strikes to be forgotten");
  await victim.stop();
});

test("one that was in hand at three of them is quarantined: it may be what used up the memory", async (t) => {
  if (loadNative().kind !== "addon") return t.skip("notes outlive the process with the native addon only");
  const victim = new Victim(t, 2, "", 600);
  await killWithItInHand(victim, 3);
  assert.equal(await victim.start(), true);
  await victim.send(...after);
  await until(() => victim.records("AdminBounce").length > 0, "the quarantine");
  assert.match(victim.words, /moved to quarantine: 3 times the process ended with it in hand, last while sending it/);
  await victim.mustBeClean(after);
});

test("a row that kills whoever announces it is found, and the rest of the shard is announced", async (t) => {
  const victim = new Victim(t, 2, `retry_interval = "1h"\nprotocol = { smtp = { mx_list = ["127.0.0.1:1"] } }`);
  assert.equal(await victim.start(), true);
  await victim.send(POISON, ...after);
  await until(() => victim.records("TransientFailure").length === after.length + 1, "the attempts");
  await victim.stop();
  victim.order("spool.announce throw bad.example");
  // A worker that dies before the server is ready fails the start; whoever supervises it starts it again.
  for (let starts = 0; !(await victim.start()); starts++) assert.ok(starts < 3, "the third start goes well");
  await until(() => victim.quarantine().length > 0, "the quarantine");
  assert.match(victim.words, /it was announcing message [0-9a-f]{32}, whose strike/);
  const bounced = readLog(victim.dir).filter((record) => record.type === "AdminBounce");
  assert.deepEqual(
    bounced.map((record) => [record.recipient, record.size]),
    [["", 0]],
    "nothing of it was unpacked again",
  );
  while ((await victim.metric("message_count")) < after.length) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(await victim.metric("message_count"), after.length);
  await victim.stop();
});
