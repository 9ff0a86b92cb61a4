import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ManualClock } from "../../src/base/clock.js";
import { failure, type Lookup } from "../../src/dns/lookup.js";
import type { Fetched } from "../../src/dns/sts-fetch.js";
import { openStsFile } from "../../src/dns/sts-file.js";
import { type DomainPolicy, MAX_FETCHES, RETRY_MS, StsPolicies } from "../../src/dns/sts-policies.js";
import type { StsPolicy } from "../../src/dns/sts-policy.js";
import { StsTable } from "../../src/dns/sts-table.js";
import type { TlsOutcome } from "../../src/protocol/tls-policy.js";

const DAY = 86_400_000;
const WEEK: StsPolicy = { mode: "enforce", maxAgeMs: 7 * DAY, mx: ["mx.example"] };
const UNREACHABLE: Fetched = { kind: "failed", result: "sts-policy-fetch-error", reason: "refused" };

function txt(...texts: readonly string[]): Lookup {
  const records = texts.map((value) => ({ name: "x", type: "TXT" as const, value, preference: 0, ttlMs: 60_000 }));
  return { kind: "found", records, ttlMs: 60_000, authentic: false };
}

const NOTHING: Lookup = { kind: "nxdomain", ttlMs: 60_000, authentic: false };

/** One domain's world: what its record says, and what a fetch gives. */
class World {
  readonly clock = new ManualClock();
  readonly table = new StsTable(this.clock, 100);
  record: Lookup = txt("v=STSv1; id=one");
  fetched: Fetched | Promise<Fetched> = { kind: "policy", policy: WEEK };
  readonly fetches: string[] = [];
  readonly asked: string[] = [];
  readonly reported: TlsOutcome[] = [];
  changes = 0;
  statics: readonly string[] = [];
  readonly policies: StsPolicies;

  constructor(t: TestContext) {
    this.policies = new StsPolicies({
      clock: this.clock,
      lookups: {
        lookup: async (name, type) => {
          this.asked.push(`${type} ${name}`);
          return this.record;
        },
      },
      isStatic: (name) => this.statics.includes(name),
      fetch: async (domain) => {
        this.fetches.push(domain);
        return this.fetched;
      },
      table: this.table,
      changed: () => this.changes++,
      report: (outcome) => this.reported.push(outcome),
    });
    t.after(() => this.policies.stop());
  }

  async state(domain = "d.example"): Promise<string> {
    return (await this.policies.of(domain)).state;
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

test("a policy is fetched once, and holds as long as it says although its record disappears", async (t) => {
  const world = new World(t);
  assert.equal(await world.state(), "enforce");
  assert.equal(await world.state(), "enforce");
  assert.deepEqual([world.fetches, world.asked[0], world.changes], [["d.example"], "TXT _mta-sts.d.example", 1]);
  for (const record of [NOTHING, txt("v=STSv1; id=a", "v=STSv1; id=b"), failure("dns.timeout", "silence")]) {
    world.record = record;
    assert.equal(await world.state(), "enforce");
  }
  world.clock.advance(7 * DAY - 1000);
  const last = await world.policies.of("d.example");
  assert.deepEqual([last.state, last.ttlMs], ["enforce", 1000]);
  world.clock.advance(1000);
  world.record = NOTHING;
  assert.equal(await world.state(), "none");
  assert.equal(world.fetches.length, 1);
});

test("a first contact that fails is no policy, is reported, and is tried again after five minutes", async (t) => {
  const world = new World(t);
  world.fetched = UNREACHABLE;
  const first = await world.policies.of("d.example");
  assert.deepEqual([first.state, first.ttlMs], ["none", RETRY_MS]);
  world.clock.advance(RETRY_MS - 1);
  assert.equal(await world.state(), "none");
  assert.equal(world.fetches.length, 1);
  world.clock.advance(1);
  world.fetched = { kind: "policy", policy: WEEK };
  assert.equal(await world.state(), "enforce");
  assert.deepEqual(
    world.reported.map(({ domain, policy, result, detail }) => [domain, policy, result, detail]),
    [["d.example", "sts", "sts-policy-fetch-error", "refused"]],
  );
});

test("a record that cannot be asked for is asked for again in five minutes", async (t) => {
  const world = new World(t);
  world.record = failure("dns.servfail", "server failure");
  assert.equal((await world.policies.of("d.example")).ttlMs, RETRY_MS);
  world.record = NOTHING;
  assert.equal((await world.policies.of("d.example")).ttlMs, Number.POSITIVE_INFINITY);
  assert.equal(world.fetches.length, 0);
});

test("a new id fetches the policy at once; when that fails the old one holds, and the next id is tried at once", async (t) => {
  const world = new World(t);
  await world.state();
  world.record = txt("v=STSv1; id=two");
  world.fetched = { kind: "policy", policy: { ...WEEK, mode: "testing" } };
  assert.equal(await world.state(), "testing");
  world.record = txt("v=STSv1; id=three");
  world.fetched = UNREACHABLE;
  const kept = await world.policies.of("d.example");
  assert.deepEqual([kept.state, kept.ttlMs], ["testing", RETRY_MS]);
  await world.state();
  assert.equal(world.fetches.length, 3);
  world.record = txt("v=STSv1; id=four");
  world.fetched = { kind: "policy", policy: { mode: "none", maxAgeMs: DAY, mx: [] } };
  assert.deepEqual(await world.policies.of("d.example"), { state: "none", policy: null, ttlMs: 60_000 });
  assert.equal(world.fetches.length, 4);
});

test("an old policy is fetched again while it still holds, asked for or not, and nobody waits for it", async (t) => {
  const world = new World(t);
  await world.state();
  world.clock.advance(DAY);
  let arrive: (fetched: Fetched) => void = () => {};
  world.fetched = new Promise<Fetched>((resolve) => {
    arrive = resolve;
  });
  assert.equal(await world.state(), "enforce");
  await settle();
  assert.equal(world.fetches.length, 2);
  arrive({ kind: "policy", policy: { ...WEEK, mode: "testing" } });
  await settle();
  assert.equal(await world.state(), "testing");
  world.clock.advance(DAY);
  world.fetched = UNREACHABLE;
  world.policies.sweep();
  await settle();
  world.policies.sweep();
  await settle();
  assert.equal(world.fetches.length, 3, "the sweep leaves a domain alone whose fetch has just failed");
  assert.equal(await world.state(), "testing");
  world.clock.advance(RETRY_MS);
  world.fetched = { kind: "policy", policy: WEEK };
  world.policies.sweep();
  await settle();
  assert.equal(world.table.get("d.example")?.policy.mode, "enforce");
});

test("fetches: one per domain, so many at once, and one that hangs is no other domain's trouble", async (t) => {
  const world = new World(t);
  let finish: (fetched: Fetched) => void = () => {};
  world.fetched = new Promise<Fetched>((resolve) => {
    finish = resolve;
  });
  const same = [world.policies.of("a.example"), world.policies.of("a.example")];
  await settle();
  assert.deepEqual(world.fetches, ["a.example"]);
  world.fetched = { kind: "policy", policy: WEEK };
  assert.equal(await world.state("b.example"), "enforce");
  finish(UNREACHABLE);
  assert.deepEqual(
    (await Promise.all(same)).map((one) => one.state),
    ["none", "none"],
  );
  world.fetched = new Promise<Fetched>((resolve) => {
    finish = resolve;
  });
  const many: Promise<DomainPolicy>[] = [];
  for (let i = 0; i < MAX_FETCHES + 1100; i++) many.push(world.policies.of(`n${i}.example`));
  await settle();
  assert.equal(world.fetches.length, 2 + MAX_FETCHES);
  finish({ kind: "policy", policy: WEEK });
  const states = (await Promise.all(many)).map((one) => one.state);
  assert.equal(states.filter((state) => state === "none").length, 100);
});

test("where the operator's own file answers for a domain only that file is asked for its policy", async (t) => {
  const world = new World(t);
  world.statics = ["d.example"];
  assert.equal(await world.state(), "none");
  assert.deepEqual(world.asked, []);
  world.statics = ["d.example", "_mta-sts.d.example"];
  assert.equal(await world.state(), "enforce");
});

test("the table is bounded, and forgets what was not used for longest", () => {
  const table = new StsTable(new ManualClock(), 3);
  const entry = { id: "x", policy: WEEK, fetchedMs: new ManualClock().steadyMs() };
  for (const domain of ["a", "b", "c"]) table.set(domain, entry);
  table.get("a");
  table.set("d", entry);
  assert.deepEqual(
    [...table.entries()].map(([domain]) => domain),
    ["c", "a", "d"],
  );
  const large = { ...entry, policy: { ...WEEK, mx: Array.from({ length: 200 }, () => "x".repeat(250)) } };
  const wide = new StsTable(new ManualClock(), 1000);
  for (let i = 0; i < 1000; i++) wide.set(`d${i}`, large);
  assert.equal(wide.size, 335);
});

test("policies survive a restart, and damage of the file is told and left out", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "hikyaku-sts-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const path = join(dir, "state", "policies");
  const clock = new ManualClock();
  const notices: string[] = [];
  const notice = (line: string) => notices.push(line);
  const table = new StsTable(clock, 1000);
  const file = openStsFile(path, table, notice);
  for (let i = 0; i < 450; i++) table.set(`d${i}.example`, { id: `id${i}`, policy: WEEK, fetchedMs: clock.steadyMs() });
  table.set("n.example", { id: "n", policy: { mode: "none", maxAgeMs: DAY, mx: [] }, fetchedMs: clock.steadyMs() });
  file.changed();
  await file.stop();
  const again = new StsTable(clock, 1000);
  openStsFile(path, again, notice);
  assert.deepEqual([...again.entries()], [...table.entries()]);
  assert.deepEqual(notices, []);
  writeFileSync(path, `${readFileSync(path, "utf8")}x.example id nonsense\ny.example a 1 enforce 60 !\n`);
  const damaged = new StsTable(clock, 1000);
  openStsFile(path, damaged, notice);
  assert.equal(damaged.size, 451);
  assert.deepEqual(notices, [`${path}: 2 lines make no sense and are left out`]);
  clock.advance(8 * DAY);
  const late = new StsTable(clock, 1000);
  openStsFile(path, late, notice);
  assert.equal(late.size, 0);
});
