import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ResponseText } from "../../../src/protocol/records.js";
import { jsonObject, jsonText, wellFormed } from "../../../src/worker/events/json-text.js";
import {
  type AttemptFacts,
  type MessageFacts,
  type MessageRecordKind,
  NO_ATTEMPT,
  RecordLines,
} from "../../../src/worker/events/record.js";
import type { MetaValue } from "../../../src/worker/spool/envelope.js";

const NODE = "0f1e2d3c-4b5a-4678-8796-a5b4c3d2e1f0";
const KINDS: MessageRecordKind[] = [
  "Reception",
  "Delivery",
  "TransientFailure",
  "Bounce",
  "Expiration",
  "Delayed",
  "AdminBounce",
];

/** Any UTF-16, with what hurts logs well represented: controls, quotes, separators, halves of pairs. */
const nasty = fc.string({
  unit: fc.oneof(
    { weight: 4, arbitrary: fc.string({ unit: "binary", minLength: 1, maxLength: 1 }) },
    fc.constantFrom(
      '"',
      "\\",
      "\n",
      "\r",
      "\u0000",
      "\u001b",
      "\u007f",
      "\u0085",
      "\u2028",
      "\ud83d",
      "\ude00",
      "\\ud800",
      "é",
      "\ufeff",
    ),
  ),
  maxLength: 24,
});
const nastyOrNull = fc.option(nasty, { nil: null });
const meta = fc.option(
  fc.dictionary(nasty, fc.oneof(nasty, fc.integer(), fc.boolean(), fc.array(nasty, { maxLength: 2 })), { maxKeys: 3 }),
  {
    nil: null,
  },
);

function clean(value: unknown): unknown {
  if (typeof value === "string") return wellFormed(value);
  if (Array.isArray(value)) return value.map(clean);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, held]) => [wellFormed(name), clean(held)]));
}

test("any text becomes one valid JSON string, halves of pairs aside unchanged", () => {
  fc.assert(
    fc.property(nasty, (text) => {
      const json = jsonText(text);
      assert.doesNotMatch(json, /[\n\r]/);
      assert.equal(JSON.parse(json), wellFormed(text));
      assert.equal(Buffer.from(json).toString(), json, "survives UTF-8");
    }),
    { numRuns: 2000 },
  );
});

test("metadata becomes one line without halves of pairs, in names as in values", () => {
  fc.assert(
    fc.property(meta, (value) => {
      const json = jsonObject(value ?? {});
      assert.doesNotMatch(json, /[\n\r]/);
      assert.deepEqual(JSON.parse(json), clean(JSON.parse(JSON.stringify(value ?? {}))));
      assert.equal(wellFormed(JSON.stringify(JSON.parse(json))), JSON.stringify(JSON.parse(json)));
    }),
    { numRuns: 1000 },
  );
});

test("every kind of record says on one line exactly what it was given", () => {
  const lines = new RecordLines(NODE);
  const attempts = fc.record({
    site: nasty,
    peer: fc.option(fc.record({ name: nasty, addr: nasty, isSecure: fc.boolean() }), { nil: null }),
    egressPool: nastyOrNull,
    egressSource: nastyOrNull,
    sourceAddress: nastyOrNull,
    sourceProxy: fc.option(
      fc.record({ server: nasty, protocol: fc.constantFrom("haproxy" as const, "socks5" as const) }),
      { nil: null },
    ),
    deliveryProtocol: nastyOrNull,
    tlsCipher: nastyOrNull,
    tlsProtocolVersion: nastyOrNull,
    tlsPeerSubjectName: fc.option(fc.array(nasty, { maxLength: 3 }), { nil: null }),
    providerName: nastyOrNull,
    sessionId: nastyOrNull,
  });
  const receptions = fc.record({
    protocol: nasty,
    ehlo: nastyOrNull,
    receivedFrom: nastyOrNull,
    receivedVia: nastyOrNull,
    sessionId: nastyOrNull,
    durability: fc.constantFrom("flushed" as const, "committed" as const),
  });
  const digit = fc.nat(999);
  fc.assert(
    fc.property(
      fc.constantFrom(...KINDS),
      fc.tuple(nasty, nasty, nasty, nasty, meta, fc.constantFrom(null, "MessageRateThrottle" as const)),
      attempts,
      receptions,
      fc.record({
        code: fc.integer({ min: 200, max: 599 }),
        enhanced: fc.option(fc.tuple(digit, digit, digit), { nil: null }),
        content: nasty,
        command: nastyOrNull,
      }),
      fc.tuple(fc.nat(2 ** 31), fc.nat(1e12), fc.nat(1e12), fc.nat(100), fc.bigInt({ min: 1n, max: 2n ** 53n })),
      (
        kind,
        [sender, recipient, queue, bounceClass, data, waitReason],
        attempt: AttemptFacts,
        reception,
        response: ResponseText,
        [size, nowMs, createdMs, numAttempts, seq],
      ) => {
        const message: MessageFacts = {
          id: "0123456789abcdef0123456789abcdef",
          envelope: {
            sender,
            recipient,
            queue,
            reception,
            meta: data as { readonly [name: string]: MetaValue } | null,
          },
          size,
          createdMs,
          numAttempts,
        };
        const isReception = kind === "Reception";
        const line = isReception
          ? lines.reception(seq, nowMs, message, response)
          : lines.message(kind, seq, nowMs, message, response, attempt, waitReason, bounceClass);
        assert.doesNotMatch(line, /[\n\r]/);
        const said = isReception ? NO_ATTEMPT : attempt;
        const peer = isReception
          ? reception.receivedFrom === null
            ? null
            : { name: reception.ehlo ?? "", addr: reception.receivedFrom }
          : said.peer && {
              name: said.peer.name,
              addr: said.peer.addr,
              ...(said.peer.isSecure ? { is_secure: true } : {}),
            };
        const session = isReception ? reception.sessionId : said.sessionId;
        const expected = {
          type: kind,
          seq: Number(seq),
          id: message.id,
          sender,
          recipient,
          queue,
          site: said.site,
          size,
          response: {
            code: response.code,
            enhanced_code: response.enhanced && {
              class: response.enhanced[0],
              subject: response.enhanced[1],
              detail: response.enhanced[2],
            },
            content: response.content,
            command: response.command,
          },
          peer_address: peer,
          timestamp: Math.floor(nowMs / 1000),
          event_time: new Date(nowMs).toISOString(),
          created: Math.floor(createdMs / 1000),
          created_time: new Date(createdMs).toISOString(),
          num_attempts: numAttempts,
          bounce_classification: isReception ? "Uncategorized" : bounceClass,
          egress_pool: said.egressPool,
          egress_source: said.egressSource,
          source_address:
            said.sourceProxy !== null
              ? { address: said.sourceAddress, ...said.sourceProxy }
              : said.sourceAddress === null
                ? null
                : { address: said.sourceAddress },
          feedback_report: null,
          ...(data === null ? {} : { meta: JSON.parse(JSON.stringify(data)) }),
          headers: {},
          delivery_protocol: said.deliveryProtocol,
          reception_protocol: reception.protocol,
          durability: reception.durability,
          ...(isReception || waitReason === null ? {} : { wait_reason: waitReason }),
          ...(said.tlsCipher === null ? {} : { tls_cipher: said.tlsCipher }),
          ...(said.tlsProtocolVersion === null ? {} : { tls_protocol_version: said.tlsProtocolVersion }),
          ...(said.tlsPeerSubjectName === null ? {} : { tls_peer_subject_name: said.tlsPeerSubjectName }),
          ...(said.providerName === null ? {} : { provider_name: said.providerName }),
          ...(session === null ? {} : { session_id: session }),
          nodeid: NODE,
        };
        assert.deepEqual(JSON.parse(line), clean(expected));
        assert.deepEqual(Object.keys(JSON.parse(line)), Object.keys(expected), "in this order");
      },
    ),
    { numRuns: 500 },
  );
});

test("a rejection has neither id nor queue", () => {
  const lines = new RecordLines(NODE);
  const line = lines.rejection(9n, 1_800_000_000_123, {
    sender: "spammer@example.com",
    recipient: "a\r\n@example.net",
    response: { code: 550, enhanced: [5, 7, 1], content: "no relaying", command: "RCPT TO:<a@example.net>" },
    reception: {
      protocol: "ESMTP",
      ehlo: 'x"y',
      receivedFrom: "192.0.2.9",
      receivedVia: null,
      sessionId: "77",
      durability: "flushed",
    },
    size: 0,
  });
  assert.deepEqual(JSON.parse(line), {
    type: "Rejection",
    seq: 9,
    id: "",
    sender: "spammer@example.com",
    recipient: "a\r\n@example.net",
    queue: "",
    site: "",
    size: 0,
    response: {
      code: 550,
      enhanced_code: { class: 5, subject: 7, detail: 1 },
      content: "no relaying",
      command: "RCPT TO:<a@example.net>",
    },
    peer_address: { name: 'x"y', addr: "192.0.2.9" },
    timestamp: 1_800_000_000,
    event_time: "2027-01-15T08:00:00.123Z",
    created: 1_800_000_000,
    created_time: "2027-01-15T08:00:00.123Z",
    num_attempts: 0,
    bounce_classification: "Uncategorized",
    egress_pool: null,
    egress_source: null,
    source_address: null,
    feedback_report: null,
    headers: {},
    delivery_protocol: null,
    reception_protocol: "ESMTP",
    session_id: "77",
    nodeid: NODE,
  });
  assert.equal(line.split("\n").length, 1);
});
