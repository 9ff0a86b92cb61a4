import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { QueueRule, ShapingRules } from "../../src/config/compiled.js";
import { PathRules } from "../../src/config/path-rules.js";
import { PATH_DEFAULTS, pathOptions } from "../../src/config/path-settings.js";
import { compilePolicy } from "../../src/config/policy.js";
import { QueueRules } from "../../src/config/queue-rules.js";
import { QUEUE_DEFAULTS } from "../../src/config/queue-settings.js";
import type { Policy } from "../../src/scheduler/ports.js";
import { load } from "./files.js";

test("queue rules: the first match wins, missing keys come from the next match", () => {
  const rules = new QueueRules([
    { domain: "a.example", tenant: "T", campaign: "*", options: { weight: 5 } },
    { domain: "a.example", tenant: "*", campaign: "*", options: { weight: 2, priority: 1 } },
    { domain: "*", tenant: "*", campaign: "C", options: { priority: 9 } },
    { domain: "*", tenant: "*", campaign: "*", options: { maxAgeMs: 1000, priority: 0 } },
  ]);
  const ask = (domain: string, tenant: string | null, campaign: string | null) => {
    const { weight, priority, maxAgeMs, egressPool } = rules.resolve({ domain, tenant, campaign });
    return [weight, priority, maxAgeMs, egressPool];
  };
  assert.deepEqual(ask("a.example", "T", null), [5, 1, 1000, "unspecified"]);
  assert.deepEqual(ask("a.example", null, null), [2, 1, 1000, "unspecified"]);
  assert.deepEqual(ask("b.example", null, "C"), [1, 9, 1000, "unspecified"]);
  assert.deepEqual(ask("b.example", "T", null), [1, 0, 1000, "unspecified"]);
  assert.deepEqual(new QueueRules([]).resolve({ domain: "x", tenant: null, campaign: null }), QUEUE_DEFAULTS);
});

test("queue rules: queues that meet the same rules share one object", () => {
  const rules = new QueueRules([{ domain: "*", tenant: "T", campaign: "*", options: { weight: 2 } }]);
  const one = rules.resolve({ domain: "a.example", tenant: "T", campaign: null });
  assert.equal(rules.resolve({ domain: "b.example", tenant: "T", campaign: "x" }), one);
  assert.notEqual(rules.resolve({ domain: "b.example", tenant: null, campaign: null }), one);
});

test("queue rules: as a plain reading of the words would have it", () => {
  const word = fc.constantFrom("*", "a", "b");
  const rule = fc.record<QueueRule>({
    domain: word,
    tenant: word,
    campaign: word,
    options: fc.record({ weight: fc.nat(9), priority: fc.nat(9) }, { requiredKeys: [] }),
  });
  const name = fc.constantFrom("a", "b", null);
  fc.assert(
    fc.property(
      fc.array(rule, { maxLength: 6 }),
      fc.constantFrom("a", "b"),
      name,
      name,
      (rules, domain, tenant, campaign) => {
        const fits = (criterion: string, value: string | null) => criterion === "*" || criterion === value;
        const matching = rules.filter(
          (one) => fits(one.domain, domain) && fits(one.tenant, tenant) && fits(one.campaign, campaign),
        );
        const made = new QueueRules(rules).resolve({ domain, tenant, campaign });
        assert.equal(made.weight, matching.find((one) => one.options.weight !== undefined)?.options.weight ?? 1);
        assert.equal(made.priority, matching.find((one) => one.options.priority !== undefined)?.options.priority ?? 0);
      },
    ),
  );
});

const RULES: ShapingRules = {
  base: { connectionLimit: 1, maxReady: 1, smtpPort: 1, idleTimeoutMs: 1, rsetTimeoutMs: 1, ehloTimeoutMs: 1 },
  baseSources: { s: { maxReady: 2, smtpPort: 2, idleTimeoutMs: 2, rsetTimeoutMs: 2, ehloTimeoutMs: 2 } },
  blocks: [
    {
      domain: "exact.example",
      mxRollup: false,
      options: { idleTimeoutMs: 4, rsetTimeoutMs: 4, ehloTimeoutMs: 4 },
      sources: { s: { ehloTimeoutMs: 6 } },
    },
    {
      domain: "big.example",
      mxRollup: true,
      options: { smtpPort: 3, idleTimeoutMs: 3, rsetTimeoutMs: 3, ehloTimeoutMs: 3 },
      sources: { s: { rsetTimeoutMs: 5, ehloTimeoutMs: 5 } },
    },
  ],
};

test("path rules: each layer has its place", () => {
  const rules = new PathRules(RULES);
  assert.deepEqual(rules.rollupDomains, ["big.example"]);
  assert.equal(rules.learnSite("big.example", "mx.big.example"), true);
  const ask = (domain: string, source: string, site: string) => {
    const path = rules.resolve(domain, source, site);
    return [
      path.connectionLimit,
      path.maxReady,
      path.smtpPort,
      path.idleTimeoutMs,
      path.rsetTimeoutMs,
      path.ehloTimeoutMs,
    ];
  };
  assert.deepEqual(ask("exact.example", "s", "mx.big.example"), [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(ask("exact.example", "other", "mx.big.example"), [1, 1, 3, 4, 4, 4]);
  assert.deepEqual(ask("exact.example", "other", "elsewhere"), [1, 1, 1, 4, 4, 4]);
  assert.deepEqual(ask("another.example", "other", "mx.big.example"), [1, 1, 3, 3, 3, 3]);
  assert.deepEqual(ask("another.example", "constructor", "elsewhere"), [1, 1, 1, 1, 1, 1]);
});

test("path rules: a rollup block is for its own domain even before DNS was asked, and follows the site", () => {
  const rules = new PathRules(RULES);
  assert.equal(rules.resolve("big.example", "x", "mx").smtpPort, 3);
  assert.equal(rules.resolve("cousin.example", "x", "mx").smtpPort, 1);
  assert.equal(rules.learnSite("big.example", "mx"), true);
  assert.equal(rules.learnSite("big.example", "mx"), false);
  assert.equal(rules.resolve("cousin.example", "x", "mx").smtpPort, 3);
  assert.equal(rules.learnSite("big.example", "mx2"), true);
  assert.equal(rules.resolve("cousin.example", "x", "mx").smtpPort, 1);
  assert.equal(rules.resolve("cousin.example", "x", "mx2").smtpPort, 3);
  assert.equal(rules.learnSite("big.example", null), true);
  assert.equal(rules.resolve("cousin.example", "x", "mx2").smtpPort, 1);
  assert.equal(rules.learnSite("nobody.example", "mx"), false);
});

test("path rules: two blocks of one site apply in file order", () => {
  const block = (domain: string, maxReady: number) => ({ domain, mxRollup: true, options: { maxReady }, sources: {} });
  const rules = new PathRules({ base: {}, blocks: [block("a.example", 1), block("b.example", 2)] });
  rules.learnSite("b.example", "mx");
  assert.equal(rules.resolve("a.example", "s", "mx").maxReady, 2, "the own block stands in its place in the file");
  rules.learnSite("a.example", "mx");
  assert.equal(rules.resolve("c.example", "s", "mx").maxReady, 2);
  assert.equal(rules.resolve("a.example", "s", "mx").maxReady, 2);
  assert.equal(rules.resolve("a.example", "s", "other").maxReady, 1);
});

test("path rules: a domain stands alone with a block of its own, and with one for its site until the site is known", () => {
  const block = (domain: string, mxRollup: boolean) => ({ domain, mxRollup, options: { maxReady: 1 }, sources: {} });
  const rules = new PathRules({ base: {}, blocks: [block("exact.example", false), block("rolled.example", true)] });
  const alone = (domain: string) => rules.standsAlone(domain, "mx");
  assert.deepEqual(["exact.example", "rolled.example", "other.example", ""].map(alone), [true, true, false, false]);
  rules.learnSite("rolled.example", "mx");
  assert.deepEqual(["exact.example", "rolled.example", "other.example", ""].map(alone), [true, false, false, false]);
  assert.equal(rules.resolve("", "s", "mx").maxReady, 1, "the others share what holds for the site");
  rules.learnSite("rolled.example", "elsewhere");
  assert.equal(alone("rolled.example"), true);
});

test("path rules: without any rule the defaults hold", () => {
  assert.deepEqual(new PathRules({ base: {}, blocks: [] }).resolve("x", "s", "mx"), PATH_DEFAULTS);
});

test("every option of a path has its setting, and each its own", () => {
  assert.equal(pathOptions.length, Object.keys(PATH_DEFAULTS).length);
  assert.equal(new Set(pathOptions.map((one) => one.setting.key)).size, pathOptions.length);
});

test("the policy answers the scheduler's questions", () => {
  const { config } = load(
    '[[source]]\nname = "ip-1"\n[[pool]]\nname = "main"\nentries = [{ name = "ip-1" }]\n[[queue]]\negress_pool = "main"\n',
  );
  const policy: Policy = compilePolicy(config);
  const queue = policy.queue({ domain: "a.example", tenant: null, campaign: null, routingDomain: null });
  assert.equal(queue.egressPool, "main");
  assert.deepEqual(policy.pool("main").entries, [{ name: "ip-1", weight: 1 }]);
  assert.equal(policy.source("ip-1")?.name, "ip-1");
  assert.equal(policy.pool("unspecified").entries[0]?.name, "unspecified");
  assert.equal(policy.source("unspecified")?.sourceAddress, null);
  assert.equal(policy.path("a.example", "ip-1", "mx"), policy.path("b.example", "ip-1", "mx2"));
  assert.throws(() => policy.pool("constructor"), { name: "Panic" });
  assert.equal(policy.source("constructor"), null);
});
