import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { ManualClock } from "../../src/base/clock.js";
import { MAX_FAILURES_PER_ROW, TlsDay } from "../../src/dns/tls-report-book.js";
import { TlsReports } from "../../src/dns/tls-reports.js";
import { TlsTally } from "../../src/dns/tls-tally.js";
import type { TlsCount, TlsOutcome } from "../../src/protocol/tls-policy.js";

function outcome(changed: Partial<TlsOutcome> = {}): TlsOutcome {
  const defaults = { policy: "sts", result: "success", mxHost: "mx.example", sendingIp: null } as const;
  return { domain: "d.example", ...defaults, receivingIp: "192.0.2.1", detail: "", ...changed };
}

function count(changed: Partial<TlsCount> = {}): TlsCount {
  return { ...outcome(changed), count: changed.count ?? 1 };
}

test("a report has the fields of RFC 8460, with right counts of success and of each failure", () => {
  const day = new TlsDay();
  day.add(count({ count: 5 }));
  day.add(count({ domain: "D.Example", count: 2 }));
  day.add(count({ result: "certificate-expired", detail: "valid to yesterday", sendingIp: "198.51.100.1", count: 3 }));
  day.add(count({ result: "certificate-expired", detail: "another day", sendingIp: "198.51.100.1" }));
  day.add(count({ result: "sts-policy-fetch-error", mxHost: "", receivingIp: null, detail: "HTTP status 404" }));
  day.add(count({ policy: "tlsa", result: "validation-failure" }));
  day.add(count({ domain: "other.example" }));
  assert.deepEqual(day.report("d.example"), [
    {
      policy: { "policy-type": "sts", "policy-domain": "d.example" },
      summary: { "total-successful-session-count": 7, "total-failure-session-count": 5 },
      "failure-details": [
        {
          "result-type": "certificate-expired",
          "sending-mta-ip": "198.51.100.1",
          "receiving-ip": "192.0.2.1",
          "receiving-mx-hostname": "mx.example",
          "failed-session-count": 4,
          "failure-reason-code": "valid to yesterday",
        },
        {
          "result-type": "sts-policy-fetch-error",
          "failed-session-count": 1,
          "failure-reason-code": "HTTP status 404",
        },
      ],
    },
    {
      policy: { "policy-type": "tlsa", "policy-domain": "d.example" },
      summary: { "total-successful-session-count": 0, "total-failure-session-count": 1 },
      "failure-details": [
        {
          "result-type": "validation-failure",
          "receiving-ip": "192.0.2.1",
          "receiving-mx-hostname": "mx.example",
          "failed-session-count": 1,
        },
      ],
    },
  ]);
  assert.deepEqual([...day.domains], ["d.example", "other.example"]);
  assert.deepEqual(day.report("nobody.example"), []);
});

test("kinds of failures are bounded, their number is not", () => {
  const day = new TlsDay();
  for (let i = 0; i < 500; i++) day.add(count({ result: "validation-failure", mxHost: `mx${i}.example` }));
  const report = day.report("d.example")[0];
  assert.equal(report?.summary["total-failure-session-count"], 500);
  assert.equal(report?.["failure-details"].length, MAX_FAILURES_PER_ROW);
  assert.equal(day.rows[0]?.unlisted, 400);
});

test("what a worker tallies and hands on in pieces is what the day counts", () => {
  const result = fc.constantFrom("success", "validation-failure", "certificate-expired", "dane-required");
  const one = fc.record({
    domain: fc.constantFrom("a.example", "b.example"),
    result,
    mxHost: fc.constantFrom("m", "n"),
  });
  fc.assert(
    fc.property(fc.array(fc.tuple(one, fc.nat(3)), { maxLength: 200 }), (steps) => {
      const [tally, day, direct] = [new TlsTally(), new TlsDay(), new TlsDay()];
      for (const [changed, take] of steps) {
        tally.add(outcome(changed));
        direct.add(count(changed));
        for (const row of tally.take(take)) day.add(row);
      }
      for (const row of tally.take(1000)) day.add(row);
      assert.equal(tally.size, 0);
      for (const domain of ["a.example", "b.example"]) {
        const [got, wanted] = [day.report(domain)[0], direct.report(domain)[0]];
        assert.deepEqual(got?.summary, wanted?.summary);
        const sorted = (report: typeof got) =>
          [...(report?.["failure-details"] ?? [])].map((detail) => JSON.stringify(detail)).sort();
        assert.deepEqual(sorted(got), sorted(wanted));
      }
    }),
  );
  const full = new TlsTally();
  for (let i = 0; i < 10_100; i++) full.add(outcome({ domain: `d${i}.example` }));
  full.add(outcome({ domain: "d0.example" }));
  assert.deepEqual([full.size, full.dropped, full.take(1)[0]?.count], [10_000, 100, 2]);
});

function directory(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "hikyaku-tlsrpt-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

test("days are kept apart and over a restart, and the oldest go", async (t) => {
  const dir = directory(t);
  const clock = new ManualClock();
  const notices: string[] = [];
  const open = () => new TlsReports(dir, clock, (line) => notices.push(line));
  const reports = open();
  const first = new Date(clock.wallMs()).toISOString().slice(0, 10);
  const failing = count({ result: "certificate-host-mismatch", detail: 'not for "mx"\n', sendingIp: "::1", count: 2 });
  reports.add([count({ count: 3 }), failing]);
  for (let i = 0; i < 150; i++) reports.add([count({ result: "dane-required", mxHost: `mx${i}.example` })]);
  assert.equal(reports.report(first, "d.example")[0]?.summary["total-failure-session-count"], 152);
  await reports.stop();
  const again = open();
  assert.deepEqual(again.days, [first]);
  assert.deepEqual(again.report(first, "d.example"), reports.report(first, "d.example"));
  assert.equal(again.report(first, "d.example")[0]?.summary["total-successful-session-count"], 3);
  again.add([count()]);
  assert.equal(again.report(first, "d.example")[0]?.summary["total-successful-session-count"], 4);
  for (let day = 1; day <= 3; day++) {
    clock.advance(86_400_000);
    again.add([count()]);
  }
  assert.equal(again.days.length, 3);
  assert.ok(!again.days.includes(first));
  await again.stop();
  assert.deepEqual(
    readdirSync(join(dir, "tls-reports")).sort(),
    again.days.map((day) => `${day}.lines`),
  );
  assert.deepEqual(again.domains(again.days[0] ?? ""), ["d.example"]);
  assert.deepEqual(notices, []);
});
