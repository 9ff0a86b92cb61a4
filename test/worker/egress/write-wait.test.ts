import assert from "node:assert/strict";
import { test } from "node:test";
import type { PathId, Row, SessionId, ShardIndex, SpoolKey } from "../../../src/base/brands.js";
import { ManualClock } from "../../../src/base/clock.js";
import { PATH_DEFAULTS } from "../../../src/config/path-settings.js";
import type { Connection } from "../../../src/native/binding.js";
import { EgressPath } from "../../../src/worker/egress/path.js";
import { EgressSession } from "../../../src/worker/egress/session.js";
import type { Fate } from "../../../src/worker/egress/verdict.js";
import { WriteWait } from "../../../src/worker/egress/write-wait.js";
import { message } from "../../smtp/client-harness.js";

test("a peer that takes a little now and then is waited for; one that takes nothing only so long", () => {
  const wait = new WriteWait();
  for (let ms = 0; ms < 600_000; ms += 59_000) {
    assert.equal(wait.exceeded(1_000_000 - ms, ms, 300_000), null);
    assert.equal(wait.exceeded(1_000_000 - ms, ms + 58_999, 300_000), null);
  }
  assert.equal(wait.exceeded(0, 700_000, 300_000), null);
  assert.equal(wait.exceeded(5, 900_000, 300_000), null, "the wait begins when there is something to send");
  assert.equal(wait.exceeded(5, 959_999, 300_000), null);
  assert.equal(wait.exceeded(5, 960_000, 300_000), 60_000);
  assert.equal(wait.exceeded(5, 905_000, 5_000), 5_000, "a shorter command time wins");
});

/** A connection whose peer takes nothing once `stuck` is set. */
function fakeConnection(state: { pending: number; stuck: boolean }): Connection {
  const queue = (octets: number): boolean => {
    if (state.stuck) state.pending += octets;
    return true;
  };
  return {
    handler: { onConnect() {}, onData() {}, onEnd() {}, onDrain() {}, onClose() {} },
    remoteAddress: "192.0.2.1",
    remotePort: 25,
    localAddress: "192.0.2.2",
    localPort: 40_000,
    get pendingBytes() {
      return state.pending;
    },
    writeText: (text) => queue(text.length),
    writeBytes: (bytes) => queue(bytes.length),
    pause() {},
    resume() {},
    end() {},
    destroy() {},
    detach: () => assert.fail("nobody asked for the socket"),
  };
}

test("a session whose peer stops reading in the middle of the content ends after a minute", () => {
  const clock = new ManualClock();
  const definition = {
    id: 1 as PathId,
    name: "p",
    site: "mx.example",
    source: { name: "s", address: null, ehloDomain: null, remotePort: null },
    pool: "pool",
    hosts: [],
    explicit: true,
    config: { ...PATH_DEFAULTS, dataDotTimeoutMs: 300_000 },
  };
  const state = { pending: 0, stuck: false };
  const fates: Fate[] = [];
  const session = new EgressSession(1 as SessionId, new EgressPath(definition, "host.example", clock), "log", {
    connect: () => fakeConnection(state),
    plan: (_path, done) =>
      done({ kind: "plan", targets: [{ name: "mx.example", address: "192.0.2.1", port: 25, unix: null }] }),
    load: () => message({ content: Buffer.from(`${"x".repeat(70)}\r\n`.repeat(1000)) }),
    up() {},
    settled: (_session, _assigned, fate) => fates.push(fate),
    ended() {},
  });
  const hear = (text: string): void => {
    const bytes = Buffer.from(text);
    session.line.onData(bytes, 0, bytes.length);
  };
  session.start();
  session.give({ row: 1 as Row, shard: 0 as ShardIndex, key: 1 as SpoolKey, attempts: 0 });
  session.line.onConnect();
  hear("220 mx.example ESMTP\r\n");
  hear("250 mx.example\r\n");
  for (const reply of ["250 ok\r\n", "250 ok\r\n"]) hear(reply);
  state.stuck = true;
  hear("354 go on\r\n");
  assert.ok(state.pending > 70_000, "the content waits");
  const began = clock.monoMs();
  while (fates.length === 0 && clock.monoMs() - began < 400_000) {
    clock.advance(250);
    session.sweep(clock.monoMs());
  }
  const waited = clock.monoMs() - began;
  assert.ok(waited >= 60_000 && waited <= 61_000, `it waited ${waited} ms`);
  const fate = fates[0];
  assert.equal(fate?.kind, "transient");
  assert.ok(
    fate !== undefined && "response" in fate && /after 60s/.test(JSON.stringify(fate.response)),
    JSON.stringify(fate),
  );
});
