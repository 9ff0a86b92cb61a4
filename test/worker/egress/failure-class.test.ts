/** Whose trouble it is that a connection did not come up. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FailureClass, failureBits, failureOf, OutcomeFlag } from "../../../src/protocol/layout/frames.js";
import { failureOfPlan, Plumbing } from "../../../src/worker/egress/failure-class.js";
import type { HostFailure } from "../../../src/worker/egress/verdict.js";

function failed(detail: string, failureClass?: FailureClass): HostFailure {
  const answer = detail === "" ? ({ kind: "closed" } as const) : ({ kind: "transport", detail } as const);
  const known = failureClass === undefined ? {} : { failureClass };
  return { name: "mx", address: null, failure: { stage: "connect", answer, command: null }, ...known };
}

test("EADDRNOTAVAIL is the source's trouble only when no interface has its address", () => {
  let addresses = new Set(["192.0.2.1"]);
  const plumbing = new Plumbing(() => addresses);
  const of = (errno: string, source: string | null, nowMs: number) =>
    failureOfPlan([failed(errno), failed(errno)], source, plumbing, nowMs);
  assert.equal(of("EADDRNOTAVAIL", "192.0.2.1", 0), FailureClass.other, "its ports are used up");
  assert.equal(of("EADDRNOTAVAIL", "192.0.2.2", 0), FailureClass.unplumbed);
  assert.equal(of("EADDRNOTAVAIL", null, 0), FailureClass.other);
  assert.equal(of("ECONNREFUSED", "192.0.2.2", 0), FailureClass.other);
  assert.equal(of("", "192.0.2.2", 0), FailureClass.other);
  addresses = new Set(["192.0.2.2"]);
  assert.equal(of("EADDRNOTAVAIL", "192.0.2.2", 999), FailureClass.unplumbed, "believed for a second");
  assert.equal(of("EADDRNOTAVAIL", "192.0.2.2", 1000), FailureClass.other);
});

test("a plan's class is that of all its addresses, or other", () => {
  const plumbing = new Plumbing(() => new Set());
  const { proxyConnect, unplumbed, other, ok } = FailureClass;
  const of = (...failures: HostFailure[]) => failureOfPlan(failures, "192.0.2.1", plumbing, 0);
  assert.equal(of(failed("", proxyConnect), failed("ECONNRESET", proxyConnect)), proxyConnect);
  assert.equal(of(failed("", proxyConnect), failed("EADDRNOTAVAIL")), other);
  assert.equal(of(failed("EADDRNOTAVAIL"), failed("EADDRNOTAVAIL")), unplumbed);
  assert.equal(of(failed("EADDRNOTAVAIL"), failed("ETIMEDOUT")), other);
  assert.equal(of(), ok);
});

test("the class travels in the flags and leaves the others alone", () => {
  const flags = OutcomeFlag.connectFailed | OutcomeFlag.sessionEnded | failureBits(FailureClass.tls);
  assert.equal(failureOf(flags), FailureClass.tls);
  assert.equal(flags & OutcomeFlag.removing, 0);
  assert.equal(flags & OutcomeFlag.connectFailed, OutcomeFlag.connectFailed);
});
