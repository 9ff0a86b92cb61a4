import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ReplyCode, replyWords, socksFrame } from "../../src/handshake/socks.js";
import { SocksClient, type SocksTurn, type SocksWish } from "../../src/handshake/socks-client.js";
import {
  type HandshakeEnd,
  MAX_AHEAD_BYTES,
  SocksServer,
  type SocksServerHost,
} from "../../src/handshake/socks-server.js";

const WISH: SocksWish = { bind: "192.0.2.9", host: "198.51.100.2", port: 25, credentials: null };

/** What a proxy would say, one reply at a time; returns the last turn and what the client sent. */
function talk(client: SocksClient, replies: readonly (readonly number[])[]): { turn: SocksTurn; sent: string[] } {
  const sent = [Buffer.from(client.start()).toString("hex")];
  let turn: SocksTurn = { kind: "more" };
  for (const reply of replies) {
    turn = client.feed(Buffer.from(reply), 0, reply.length);
    if (turn.kind === "send") sent.push(Buffer.from(turn.bytes).toString("hex"));
  }
  return { turn, sent };
}

const OK = [5, 0, 0, 1, 192, 0, 2, 9, 0x9c, 0x40];

test("BIND chooses the source address, CONNECT the destination, and what follows is the destination's", () => {
  const { turn, sent } = talk(new SocksClient(WISH), [[5, 0], OK, [...OK, ...Buffer.from("220 hi\r\n")]]);
  assert.deepEqual(sent, ["050100", "05020001c00002090000", "05010001c63364020019"]);
  assert.deepEqual(turn, { kind: "up", bound: { address: "192.0.2.9", port: 40_000 }, end: OK.length });
});

test("plain CONNECT, by address and by name, with user name and password", () => {
  const credentials = { username: "mta", password: "sécret" };
  const wish = { bind: null, host: "mx.example", port: 587, credentials };
  const { turn, sent } = talk(new SocksClient(wish), [
    [5, 2],
    [1, 0],
    [5, 0, 0, 3, 1, 0x78, 0, 1],
  ]);
  const name = Buffer.from("mx.example").toString("hex");
  const password = Buffer.from("sécret").toString("hex");
  assert.deepEqual(sent, ["05020002", `01036d746107${password}`, `050100030a${name}024b`]);
  assert.deepEqual(turn, { kind: "up", bound: { address: "x", port: 1 }, end: 8 });
  // A proxy that wants no password is not told ours.
  assert.deepEqual(
    talk(new SocksClient({ ...wish, host: "::1" }), [[5, 0]])
      .sent.at(-1)
      ?.slice(0, 8),
    "05010004",
  );
});

test("every code of every reply is a failure with its step and its words", () => {
  for (let code = 1; code < 256; code++) {
    for (const [step, before] of [
      ["bind", [[5, 0]]],
      ["connect", [[5, 0], OK]],
    ] as const) {
      const { turn } = talk(new SocksClient(WISH), [...before, [5, code, 0, 1, 0, 0, 0, 0, 0, 0]]);
      assert.deepEqual(turn, { kind: "failed", step, code, reason: replyWords(code) });
    }
  }
  assert.equal(replyWords(ReplyCode.refused), "connection refused");
  assert.equal(replyWords(9), "unassigned code 9");
});

test("a proxy that talks nonsense is left, with a reason", () => {
  const credentials = { username: "a", password: "b" };
  const cases: readonly [SocksWish, (readonly number[])[], RegExp][] = [
    [WISH, [[5, 0xff]], /wants a user name and password/],
    [{ ...WISH, credentials }, [[5, 0xff]], /neither of the methods/],
    [WISH, [[5, 2]], /method 2, which was not offered/],
    [WISH, [[5, 1]], /method 1, which was not offered/],
    [
      { ...WISH, credentials },
      [
        [5, 2],
        [1, 1],
      ],
      /refused/,
    ],
    [
      { ...WISH, credentials },
      [
        [5, 2],
        [5, 0],
      ],
      /version 5 instead of 1/,
    ],
    [WISH, [[4]], /version 4/],
    [WISH, [[...Buffer.from("220 mx ESMTP\r\n")]], /version 50/],
    [WISH, [[5, 0, ...OK]], /more than it was asked for/],
    [
      WISH,
      [
        [5, 0],
        [...OK, 1],
      ],
      /more than it was asked for/,
    ],
    [
      WISH,
      [
        [5, 0],
        [5, 0, 0, 2, 0],
      ],
      /unknown address type 2/,
    ],
    [WISH, [[5, 0], [4]], /version 4/],
  ];
  for (const [wish, replies, expected] of cases) {
    const { turn } = talk(new SocksClient(wish), replies);
    assert.equal(turn.kind, "failed");
    if (turn.kind === "failed") assert.match(turn.reason, expected);
  }
});

interface Script {
  readonly sent: Buffer[];
  readonly asked: string[];
  end: readonly [HandshakeEnd, string] | null;
}

/** A host that notes what it is asked, with a password for one user. */
function scripted(): Script & SocksServerHost {
  const script: Script & SocksServerHost = {
    sent: [],
    asked: [],
    end: null,
    send: (bytes) => script.sent.push(Buffer.from(bytes)),
    authenticate: (username, password) => username === "mta" && password === "right",
    bind: (address) => script.asked.push(`bind ${address}`),
    connect: (address, port, from) => script.asked.push(`connect ${address} ${port} from ${from}`),
    failed: (end, detail) => {
      assert.equal(script.end, null, "a handshake fails once");
      script.end = [end, detail];
    },
  };
  return script;
}

const numeric = fc.oneof(fc.ipV4(), fc.constantFrom("2001:db8::1", "::1", "fe80::1:2"));

test("client and proxy of this house understand each other, whatever the network makes of their bytes", () => {
  const credentials = fc.option(
    fc.record({ username: fc.constant("mta"), password: fc.constantFrom("right", "wrong") }),
  );
  const rules = fc.constantFrom("none" as const, "optional" as const, "required" as const);
  fc.assert(
    fc.property(
      fc.option(numeric),
      numeric,
      fc.nat(65_535),
      credentials,
      rules,
      fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
      (bind, host, port, who, rule, sizes) => {
        const client = new SocksClient({ bind, host, port, credentials: who });
        const script = scripted();
        const server = new SocksServer(rule, script);
        const banner = Buffer.from("220 mx.example ESMTP\r\n");
        let toServer = Buffer.from(client.start());
        let toClient = Buffer.alloc(0);
        let up: Buffer | null = null;
        let failed: SocksTurn | null = null;
        const size = (): number => sizes.next().value as number;
        while ((toServer.length > 0 || toClient.length > 0) && failed === null && up === null) {
          const some = toServer.subarray(0, size());
          toServer = toServer.subarray(some.length);
          server.feed(some, 0, some.length);
          for (const asked of script.asked.splice(0)) {
            if (asked.startsWith("bind")) server.bound();
            else {
              const { reply, ahead } = server.connected("192.0.2.77", 4321);
              assert.equal(ahead.length, 0);
              script.sent.push(Buffer.from(reply), banner);
            }
          }
          toClient = Buffer.concat([toClient, ...script.sent.splice(0)]);
          const piece = toClient.subarray(0, size());
          toClient = toClient.subarray(piece.length);
          if (piece.length === 0) continue;
          const turn = client.feed(piece, 0, piece.length);
          if (turn.kind === "send") toServer = Buffer.concat([toServer, turn.bytes]);
          else if (turn.kind === "failed") failed = turn;
          else if (turn.kind === "up") {
            assert.deepEqual(turn.bound, { address: "192.0.2.77", port: 4321 });
            up = Buffer.concat([piece.subarray(turn.end), toClient]);
          }
        }
        const shown = rule !== "none" && who !== null;
        const admitted = shown ? who.password === "right" : rule !== "required";
        const familiesFit = bind === null || bind.includes(":") === host.includes(":");
        assert.equal(up !== null, admitted && familiesFit);
        assert.equal(failed !== null, !admitted || !familiesFit);
        if (up !== null) assert.deepEqual(up, banner, "not a byte of the banner is lost or doubled");
      },
    ),
  );
});

/** Feeds one handshake to a proxy, with these requests after the greeting. */
function ask(...requests: readonly Uint8Array[]): Script {
  const script = scripted();
  const server = new SocksServer("none", script);
  const bytes = Buffer.concat([Uint8Array.of(5, 1, 0), ...requests]);
  server.feed(bytes, 0, bytes.length);
  if (script.asked[0]?.startsWith("bind")) server.bound();
  return script;
}

test("what a proxy does not do has its code", () => {
  const codeOf = (script: Script): number | undefined => script.sent.at(-1)?.[1];
  const bind = socksFrame(2, "192.0.2.1", 0);
  for (const [requests, code, end] of [
    [[socksFrame(3, "192.0.2.1", 25)], ReplyCode.commandNotSupported, "request"],
    [[socksFrame(1, "mx.example", 25)], ReplyCode.addressNotSupported, "request"],
    [[Uint8Array.of(5, 1, 0, 9, 0, 0)], ReplyCode.addressNotSupported, "request"],
    [[bind, bind], ReplyCode.failure, "bind"],
    [[socksFrame(2, "192.0.2.1", 25)], ReplyCode.failure, "bind"],
    [[bind, socksFrame(1, "::1", 25)], ReplyCode.addressNotSupported, "connect"],
  ] as const) {
    const script = ask(...requests);
    assert.equal(codeOf(script), code);
    assert.equal(script.end?.[0], end);
  }
  assert.deepEqual(ask(bind, socksFrame(1, "192.0.2.5", 25)).asked, [
    "bind 192.0.2.1",
    "connect 192.0.2.5 25 from 192.0.2.1",
  ]);
});

test("a client that is no SOCKS client hears nothing, one without a method that fits hears 0xff", () => {
  const script = scripted();
  new SocksServer("none", script).feed(Buffer.from("GET / HTTP/1.1\r\n"), 0, 16);
  assert.deepEqual([script.sent.length, script.end?.[0]], [0, "protocol"]);
  for (const [rule, methods] of [
    ["required", [0]],
    ["none", [2]],
    ["optional", [1]],
    ["none", []],
  ] as const) {
    const host = scripted();
    const hello = Buffer.from([5, methods.length, ...methods]);
    new SocksServer(rule, host).feed(hello, 0, hello.length);
    assert.deepEqual([host.sent[0]?.toString("hex"), host.end?.[0]], ["05ff", "method"]);
  }
});

test("bytes ahead of the answers are kept for the destination, up to a bound", () => {
  const script = scripted();
  const server = new SocksServer("none", script);
  const hello = Buffer.concat([Uint8Array.of(5, 1, 0), socksFrame(1, "192.0.2.5", 25), Buffer.from("early")]);
  server.feed(hello, 0, hello.length);
  assert.equal(server.phase, "connecting");
  assert.equal(Buffer.from(server.connected("192.0.2.1", 1).ahead).toString(), "early");
  const flooded = scripted();
  const other = new SocksServer("none", flooded);
  other.feed(hello, 0, hello.length);
  const flood = Buffer.alloc(MAX_AHEAD_BYTES);
  other.feed(flood, 0, flood.length);
  assert.equal(flooded.end?.[0], "protocol");
});

test("nonsense never throws, and ends at most once", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (noise, greeted) => {
      const script = scripted();
      const server = new SocksServer("optional", script);
      const bytes = Buffer.concat([greeted ? Uint8Array.of(5, 1, 0, 5) : Buffer.alloc(0), noise]);
      for (const byte of bytes) server.feed(Buffer.of(byte), 0, 1);
      const client = new SocksClient(WISH);
      client.start();
      for (const byte of bytes) if (client.feed(Buffer.of(byte), 0, 1).kind !== "more") break;
    }),
  );
});
