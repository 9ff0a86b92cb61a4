import assert from "node:assert/strict";
import { test } from "node:test";
import { FailureClass } from "../../../src/protocol/layout/frames.js";
import type { EnhancedCode } from "../../../src/protocol/records.js";
import type { Answer, RecipientResult, SessionEnd, Stage, TransactionResult } from "../../../src/smtp/client-result.js";
import {
  type HostFailure,
  INTERNAL_PREFIX,
  judge,
  judgePlan,
  judgeUnreachable,
  MAX_JOINED_CHARS,
  type VerdictPath,
} from "../../../src/worker/egress/verdict.js";

const USUAL: VerdictPath = { reconnectStrategy: "ConnectNextHost", tryNextHostOnTransportError: false };

function reply(code: number, enhanced: EnhancedCode | null = null): Answer {
  return { kind: "reply", reply: { code, enhanced, content: "text", lines: ["text"] } };
}

function at(stage: Stage, answer: Answer, othersAccepted = false): RecipientResult {
  return { stage, answer, command: stage === "dataDot" ? "." : "CMD", othersAccepted };
}

function result(one: RecipientResult, end: SessionEnd | null = null, untried = false): TransactionResult {
  return { recipients: [one], end, untried, chunked: one.stage === "bdat" };
}

const TIMEOUT: Answer = { kind: "timeout", afterMs: 300_000 };
const CLOSED: Answer = { kind: "closed" };
const TRANSPORT: Answer = { kind: "transport", detail: "ECONNRESET" };
const PROTOCOL: Answer = { kind: "protocol", reason: "noise" };
const NEXT: VerdictPath = { ...USUAL, tryNextHostOnTransportError: true };
const SAME: VerdictPath = { ...USUAL, reconnectStrategy: "ReconnectSameHost" };
const STOP: VerdictPath = { ...USUAL, reconnectStrategy: "TerminateSession" };

/** Name, what happened, path, expected fate, expected code, expected step of the session. */
const rows: readonly (readonly [string, TransactionResult, VerdictPath, string, number | null, string])[] = [
  ["2xx at the end", result(at("dataDot", reply(250))), USUAL, "delivered", 250, "keep"],
  ["2xx of any kind", result(at("dataDot", reply(299))), USUAL, "delivered", 299, "keep"],
  ["3xx at the end", result(at("dataDot", reply(354)), "peer-ended"), USUAL, "transient", 354, "next-host"],
  ["4xx at the end", result(at("dataDot", reply(450))), USUAL, "transient", 450, "keep"],
  ["4xx of any kind", result(at("dataDot", reply(499))), USUAL, "transient", 499, "keep"],
  ["503 is not for good", result(at("dataDot", reply(503))), USUAL, "transient", 503, "keep"],
  ["503 to RCPT", result(at("rcptTo", reply(503))), USUAL, "transient", 503, "keep"],
  ["5xx at the end", result(at("dataDot", reply(554))), USUAL, "bounced", 554, "keep"],
  ["5xx of any kind", result(at("dataDot", reply(599))), USUAL, "bounced", 599, "keep"],
  ["5xx to MAIL", result(at("mailFrom", reply(550))), USUAL, "bounced", 550, "keep"],
  ["4xx to MAIL", result(at("mailFrom", reply(451))), USUAL, "transient", 451, "keep"],
  ["5xx to RCPT", result(at("rcptTo", reply(550))), USUAL, "bounced", 550, "keep"],
  ["5xx to DATA", result(at("data", reply(554))), USUAL, "bounced", 554, "keep"],
  ["2xx to DATA", result(at("data", reply(250)), "peer-ended"), USUAL, "transient", 400, "next-host"],
  ["421, next host", result(at("mailFrom", reply(421)), "peer-ended"), USUAL, "transient", 421, "next-host"],
  ["421, same host", result(at("rcptTo", reply(421)), "peer-ended"), SAME, "transient", 421, "same-host"],
  ["421, end", result(at("dataDot", reply(421)), "peer-ended"), STOP, "transient", 421, "end"],
  ["421 is no transport error", result(at("data", reply(421)), "peer-ended"), NEXT, "transient", 421, "next-host"],
  ["time-out", result(at("mailFrom", TIMEOUT), "timeout"), USUAL, "transient", 421, "next-host"],
  ["time-out, end", result(at("dataDot", TIMEOUT), "timeout"), STOP, "transient", 421, "end"],
  ["IO error", result(at("rcptTo", TRANSPORT), "transport"), USUAL, "transient", 400, "next-host"],
  ["IO error, same host", result(at("rcptTo", TRANSPORT), "transport"), SAME, "transient", 400, "same-host"],
  ["closed", result(at("data", CLOSED), "closed"), USUAL, "transient", 400, "next-host"],
  ["nonsense", result(at("data", PROTOCOL), "protocol"), STOP, "transient", 400, "end"],
  ["time-out, message goes on", result(at("mailFrom", TIMEOUT), "timeout"), NEXT, "next-host", 421, "next-host"],
  ["IO error, message goes on", result(at("data", TRANSPORT), "transport"), NEXT, "next-host", 400, "next-host"],
  ["final reply lost", result(at("dataDot", TRANSPORT), "transport"), NEXT, "transient", 400, "next-host"],
  ["final reply late", result(at("dataDot", TIMEOUT), "timeout"), NEXT, "transient", 421, "next-host"],
  ["RSET refused", result(at("rset", reply(500)), "peer-ended"), STOP, "transient", 500, "end"],
  ["RSET refused, message goes on", result(at("rset", reply(500)), "peer-ended"), NEXT, "next-host", 500, "next-host"],
  ["found closed", result(at("rset", CLOSED), "closed", true), USUAL, "returned", null, "end"],
  ["found broken", result(at("mailFrom", TRANSPORT), "transport", true), NEXT, "returned", null, "end"],
  ["farewell with the answer", result(at("dataDot", reply(250)), "unsolicited"), USUAL, "delivered", 250, "end"],
  ["our own end", result(at("dataDot", reply(250)), "quit"), USUAL, "delivered", 250, "end"],
  ["452, first recipient", result(at("rcptTo", reply(452))), USUAL, "transient", 452, "keep"],
  ["552, first recipient", result(at("rcptTo", reply(552))), USUAL, "bounced", 552, "keep"],
  ["452 4.5.3, others in", result(at("rcptTo", reply(452, [4, 5, 3]), true)), USUAL, "again", 452, "keep"],
  ["550 5.5.3, others in", result(at("rcptTo", reply(550, [5, 5, 3]), true)), USUAL, "again", 550, "keep"],
  ["550 5.5.3, first", result(at("rcptTo", reply(550, [5, 5, 3]))), USUAL, "bounced", 550, "keep"],
  ["452, others in", result(at("rcptTo", reply(452), true)), USUAL, "again", 452, "keep"],
  ["552, others in", result(at("rcptTo", reply(552), true)), USUAL, "again", 552, "keep"],
  ["552 5.2.2, others in", result(at("rcptTo", reply(552, [5, 2, 2]), true)), USUAL, "transient", 552, "keep"],
  ["452 4.2.2, others in", result(at("rcptTo", reply(452, [4, 2, 2]), true)), USUAL, "transient", 452, "keep"],
  ["550, others in", result(at("rcptTo", reply(550), true)), USUAL, "bounced", 550, "keep"],
  ["452, others in, session over", result(at("rcptTo", reply(452), true), "closed"), STOP, "transient", 452, "end"],
];

for (const [name, happened, path, kind, code, session] of rows) {
  test(`verdict: ${name}`, () => {
    const verdict = judge(happened, path, false);
    assert.equal(verdict.session, session);
    const [fate] = verdict.fates;
    assert.equal(fate.kind, kind);
    assert.equal(fate.kind === "returned" ? null : fate.response.code, code);
  });
}

test("a guess about too many recipients is made once; an enhanced code is believed again", () => {
  const guessed = result(at("rcptTo", reply(552), true));
  assert.equal(judge(guessed, USUAL, true).fates[0].kind, "transient");
  const told = result(at("rcptTo", reply(452, [4, 5, 3]), true));
  assert.equal(judge(told, USUAL, true).fates[0].kind, "again");
});

test("refused by ourselves: bounced, also when the session was lost before the others were tried", () => {
  const refused = at("rcptTo", { kind: "refused", code: 554, enhanced: [5, 6, 7], text: "no" });
  const { fates } = judge(
    { recipients: [refused, at("rset", CLOSED)], end: "closed", untried: true, chunked: false },
    USUAL,
    false,
  );
  assert.deepEqual(fates, [
    {
      kind: "bounced",
      response: { code: 554, enhanced: [5, 6, 7], content: `${INTERNAL_PREFIX}no`, command: "CMD" },
    },
    { kind: "returned" },
  ]);
});

test("what is logged: the peer's words as they are, ours with the mark", () => {
  const of = (one: RecipientResult) => {
    const [fate] = judge(result(one), USUAL, false).fates;
    return fate.kind === "returned" ? null : fate.response;
  };
  assert.deepEqual(of(at("dataDot", reply(550, [5, 7, 1]))), {
    code: 550,
    enhanced: [5, 7, 1],
    content: "text",
    command: ".",
  });
  assert.deepEqual(of(at("mailFrom", TIMEOUT)), {
    code: 421,
    enhanced: [4, 4, 2],
    content: "KumoMTA internal: timed out after 300s while waiting for the reply to CMD",
    command: "CMD",
  });
  assert.deepEqual(of(at("dataDot", PROTOCOL)), {
    code: 400,
    enhanced: null,
    content: "KumoMTA internal: protocol error while waiting for the reply to the end of data: noise",
    command: ".",
  });
});

function failed(name: string, address: string | null, stage: Stage, answer: Answer): HostFailure {
  return { name, address, failure: { stage, answer, command: null }, cause: FailureClass.other, via: null };
}

test("all addresses failed: one temporary answer that names each", () => {
  const response = judgeUnreachable([
    failed("mx1.example", "192.0.2.1", "connect", { kind: "transport", detail: "ECONNREFUSED" }),
    failed("192.0.2.2", "192.0.2.2", "banner", reply(554, [5, 7, 1])),
    failed("/run/mx.sock", null, "connect", { kind: "timeout", afterMs: 60_000 }),
  ]);
  assert.deepEqual(response, {
    code: 400,
    enhanced: null,
    command: null,
    content:
      "KumoMTA internal: failed to connect to any candidate hosts: " +
      "mx1.example [192.0.2.1]: ECONNREFUSED while connecting, " +
      "192.0.2.2: the greeting: 554 5.7.1 text, " +
      "/run/mx.sock: timed out after 60s while connecting",
  });
});

test("the joined text is bounded, however many and however long the failures are", () => {
  const long = "y".repeat(3000);
  for (const count of [1, 2, 5, 20]) {
    for (const detail of ["ECONNREFUSED", long]) {
      const failures = Array.from({ length: count }, (_, i) =>
        failed(`mx${i}.example`, `192.0.2.${i}`, "connect", { kind: "transport", detail }),
      );
      const { content } = judgeUnreachable(failures);
      assert.ok(content.length <= MAX_JOINED_CHARS, `${content.length}`);
      assert.ok(content.includes("mx0.example [192.0.2.0]"));
      const named = content.split("mx").length - 1;
      const more = Number(/, and (\d+) more$/.exec(content)?.[1] ?? 0);
      assert.equal(named + more, count);
    }
  }
});

test("plans without addresses", () => {
  const none = judgePlan("none", "mx.example", "");
  assert.deepEqual([none.kind, none.response.code, none.reason], ["transient", 451, "MxResolvedToZeroHosts"]);
  assert.ok(!none.response.content.startsWith(INTERNAL_PREFIX));
  const bad = judgePlan("prohibited", "mx.example", "127.0.0.1");
  assert.deepEqual([bad.kind, bad.response.code, bad.reason], ["bounced", 550, "MxWasProhibited"]);
  assert.deepEqual(bad.response.enhanced, [5, 4, 4]);
  assert.match(bad.response.content, /^KumoMTA internal: .*127\.0\.0\.1/);
  const family = judgePlan("family", "mx.example", "");
  assert.deepEqual([family.kind, family.response.code, family.reason], ["transient", 451, "MxResolvedToZeroHosts"]);
  assert.match(family.response.content, /no address of mx\.example is of the family of the source's address/);
  const skipped = judgePlan("skipped", "mx.example", "");
  assert.deepEqual([skipped.kind, skipped.response.code, skipped.reason], ["transient", 451, "MxWasSkipped"]);
});
