import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault, type FaultCode } from "../../../../src/base/fault.js";
import type { ProxyConfig } from "../../../../src/config/compiled.js";
import { FailureClass, failureOf, OutcomeFlag } from "../../../../src/protocol/layout/frames.js";
import type { Answer, Stage } from "../../../../src/smtp/client-result.js";
import { blame, commonCause, type Origin, unreachableFlags } from "../../../../src/worker/egress/cause.js";
import { judgeUnreachable } from "../../../../src/worker/egress/verdict.js";

const SERVER = { host: "192.0.2.9", port: 8025 };
const HA: ProxyConfig = { protocol: "haproxy", server: SERVER, sourceAddress: "192.0.2.7", version: 2 };
const SOCKS: ProxyConfig = { protocol: "socks5", server: SERVER, sourceAddress: "192.0.2.7", credentials: null };
const { ok, unplumbed, proxyConnect, proxyUnplumbed, proxyDestination, other, tls } = FailureClass;
const TARGET = { name: "mx.example", address: "198.51.100.1" };
const CLOSED: Answer = { kind: "closed" };
const TIMEOUT: Answer = { kind: "timeout", afterMs: 60_000 };
const REPLY: Answer = { kind: "reply", reply: { code: 554, enhanced: null, content: "no", lines: ["no"] } };

const EXPIRED: Answer = { kind: "tls", result: "certificate-expired", reason: "its certificate has expired" };

function from(proxy: ProxyConfig | null, isUnplumbed = false): Origin {
  return { proxy, isUnplumbed };
}

function step(stage: Stage, answer: Answer) {
  return { stage, answer, command: null };
}

test("who is to blame", () => {
  const fault = (code: FaultCode, errno: string | null = null) => new Fault(code, "words", { errno });
  const rows: readonly [Stage, Answer, Fault | null, Origin, FailureClass][] = [
    ["connect", CLOSED, fault("proxy.unreachable"), from(SOCKS), proxyConnect],
    ["connect", CLOSED, fault("proxy.handshake"), from(SOCKS), proxyConnect],
    ["connect", CLOSED, fault("proxy.unplumbed"), from(SOCKS), proxyUnplumbed],
    ["connect", CLOSED, fault("proxy.destination"), from(SOCKS), proxyDestination],
    ["connect", TIMEOUT, null, from(SOCKS), proxyConnect],
    ["connect", TIMEOUT, null, from(null), other],
    ["connect", CLOSED, fault("socket.failed", "ECONNREFUSED"), from(null), other],
    ["connect", CLOSED, fault("socket.failed", "EADDRNOTAVAIL"), from(null, true), unplumbed],
    // Its ports are used up.
    ["connect", CLOSED, fault("socket.failed", "EADDRNOTAVAIL"), from(null), other],
    ["connect", CLOSED, fault("socket.failed", "ECONNREFUSED"), from(null, true), other],
    ["banner", TIMEOUT, null, from(HA), proxyConnect],
    ["banner", CLOSED, null, from(HA), proxyConnect],
    ["banner", REPLY, null, from(HA), other],
    ["banner", TIMEOUT, null, from(SOCKS), other],
    ["ehlo", CLOSED, null, from(HA), other],
    ["handshake", EXPIRED, null, from(null), tls],
    ["starttls", EXPIRED, null, from(HA), tls],
  ];
  for (const [stage, answer, why, origin, expected] of rows) {
    const found = blame(TARGET, step(stage, answer), why, origin).cause;
    assert.equal(found, expected, `${stage} ${answer.kind} ${why?.code} ${origin.proxy?.protocol}`);
  }
});

test("a host is blamed only for what a host did", () => {
  const of = (...causes: FailureClass[]) => commonCause(causes.map((cause) => ({ cause })));
  assert.equal(of(), ok);
  assert.equal(of(proxyDestination, proxyDestination), proxyDestination);
  assert.equal(of(proxyConnect, proxyDestination), proxyConnect);
  assert.equal(of(proxyConnect, other), other);
  assert.equal(of(unplumbed, unplumbed), unplumbed);
  assert.equal(of(unplumbed, other), other);
  for (const cause of [unplumbed, proxyConnect, proxyUnplumbed, proxyDestination]) {
    assert.equal(unreachableFlags(cause) & OutcomeFlag.connectFailed, 0);
    assert.equal(failureOf(unreachableFlags(cause)), cause);
  }
  for (const cause of [ok, other, tls]) {
    assert.notEqual(unreachableFlags(cause) & OutcomeFlag.connectFailed, 0);
    assert.equal(failureOf(unreachableFlags(cause) | OutcomeFlag.sessionEnded), cause);
    assert.equal(unreachableFlags(cause) & OutcomeFlag.removing, 0);
  }
});

test("a record says that it was TLS, where it was with all hosts", () => {
  const failed = blame(TARGET, step("handshake", EXPIRED), null, from(null));
  assert.match(judgeUnreachable([failed, failed]).content, /candidate hosts \(TLS\): mx\.example .*has expired, mx\./);
  const silent = blame(TARGET, step("banner", TIMEOUT), null, from(null));
  assert.match(judgeUnreachable([failed, silent]).content, /candidate hosts: mx\.example/);
});

test("a record says that it was the proxy, and which", () => {
  const silent = blame(TARGET, step("banner", TIMEOUT), null, from(HA));
  assert.equal(
    judgeUnreachable([silent]).content,
    "KumoMTA internal: failed to connect to any candidate hosts (proxy): mx.example [198.51.100.1]: " +
      "proxy haproxy 192.0.2.9:8025: timed out after 60s while waiting for the greeting",
  );
  const fault = new Fault("proxy.destination", "proxy socks5 192.0.2.9:8025: host unreachable");
  const told = { kind: "transport", detail: fault.message } as const;
  assert.equal(
    judgeUnreachable([blame(TARGET, step("connect", told), fault, from(SOCKS))]).content,
    "KumoMTA internal: failed to connect to any candidate hosts (proxy cannot reach the destination): " +
      "mx.example [198.51.100.1]: proxy socks5 192.0.2.9:8025: host unreachable",
  );
  const both = [silent, blame(TARGET, step("banner", REPLY), null, from(HA))];
  assert.match(judgeUnreachable(both).content, /candidate hosts: mx\.example .*greeting, mx\.example .*: 554 no$/);
});
