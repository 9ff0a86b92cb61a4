import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault, type FaultCode } from "../../../../src/base/fault.js";
import type { ProxyConfig } from "../../../../src/config/compiled.js";
import { OutcomeFlag, PROXY_FLAGS } from "../../../../src/protocol/layout/frames.js";
import type { Answer, Stage } from "../../../../src/smtp/client-result.js";
import { blame, commonCause, type FailureCause, unreachableFlags } from "../../../../src/worker/egress/cause.js";
import { judgeUnreachable } from "../../../../src/worker/egress/verdict.js";

const SERVER = { host: "192.0.2.9", port: 8025 };
const HA: ProxyConfig = { protocol: "haproxy", server: SERVER, sourceAddress: "192.0.2.7", version: 2 };
const SOCKS: ProxyConfig = { protocol: "socks5", server: SERVER, sourceAddress: "192.0.2.7", credentials: null };
const TARGET = { name: "mx.example", address: "198.51.100.1" };
const CLOSED: Answer = { kind: "closed" };
const TIMEOUT: Answer = { kind: "timeout", afterMs: 60_000 };
const REPLY: Answer = { kind: "reply", reply: { code: 554, enhanced: null, content: "no", lines: ["no"] } };

function step(stage: Stage, answer: Answer) {
  return { stage, answer, command: null };
}

test("who is to blame", () => {
  const fault = (code: FaultCode, errno: string | null = null) => new Fault(code, "words", { errno });
  const rows: readonly [Stage, Answer, Fault | null, ProxyConfig | null, FailureCause][] = [
    ["connect", CLOSED, fault("proxy.unreachable"), SOCKS, "proxy"],
    ["connect", CLOSED, fault("proxy.handshake"), SOCKS, "proxy"],
    ["connect", CLOSED, fault("proxy.unplumbed"), SOCKS, "proxy-unplumbed"],
    ["connect", CLOSED, fault("proxy.destination"), SOCKS, "proxy-destination"],
    ["connect", TIMEOUT, null, SOCKS, "proxy"],
    ["connect", TIMEOUT, null, null, "host"],
    ["connect", CLOSED, fault("socket.failed", "ECONNREFUSED"), null, "host"],
    ["connect", CLOSED, fault("socket.failed", "EADDRNOTAVAIL"), null, "unplumbed"],
    ["banner", TIMEOUT, null, HA, "proxy"],
    ["banner", CLOSED, null, HA, "proxy"],
    ["banner", REPLY, null, HA, "host"],
    ["banner", TIMEOUT, null, SOCKS, "host"],
    ["ehlo", CLOSED, null, HA, "host"],
  ];
  for (const [stage, answer, why, proxy, expected] of rows) {
    const found = blame(TARGET, step(stage, answer), why, proxy).cause;
    assert.equal(found, expected, `${stage} ${answer.kind} ${why?.code} ${proxy?.protocol}`);
  }
});

test("a host is blamed only for what a host did", () => {
  const of = (...causes: FailureCause[]) => commonCause(causes.map((cause) => ({ cause })));
  assert.equal(of(), "host");
  assert.equal(of("proxy-destination", "proxy-destination"), "proxy-destination");
  assert.equal(of("proxy", "proxy-destination"), "proxy");
  assert.equal(of("proxy", "host"), "host");
  for (const cause of ["proxy", "proxy-unplumbed", "proxy-destination"] as const) {
    assert.equal(unreachableFlags(cause) & OutcomeFlag.connectFailed, 0, cause);
    assert.notEqual(unreachableFlags(cause) & PROXY_FLAGS, 0, cause);
  }
  assert.notEqual(unreachableFlags("host") & OutcomeFlag.connectFailed, 0);
  assert.equal(unreachableFlags("host") & PROXY_FLAGS, 0);
  assert.notEqual(unreachableFlags("unplumbed") & OutcomeFlag.unplumbed, 0);
});

test("a record says that it was the proxy, and which", () => {
  const silent = blame(TARGET, step("banner", TIMEOUT), null, HA);
  assert.equal(
    judgeUnreachable([silent]).content,
    "KumoMTA internal: failed to connect to any candidate hosts (proxy): mx.example [198.51.100.1]: " +
      "proxy haproxy 192.0.2.9:8025: timed out after 60s while waiting for the greeting",
  );
  const fault = new Fault("proxy.destination", "proxy socks5 192.0.2.9:8025: host unreachable");
  const told = { kind: "transport", detail: fault.message } as const;
  assert.equal(
    judgeUnreachable([blame(TARGET, step("connect", told), fault, SOCKS)]).content,
    "KumoMTA internal: failed to connect to any candidate hosts (proxy cannot reach the destination): " +
      "mx.example [198.51.100.1]: proxy socks5 192.0.2.9:8025: host unreachable",
  );
  const both = [silent, blame(TARGET, step("banner", REPLY), null, HA)];
  assert.match(judgeUnreachable(both).content, /candidate hosts: mx\.example .*greeting, mx\.example .*: 554 no$/);
});
