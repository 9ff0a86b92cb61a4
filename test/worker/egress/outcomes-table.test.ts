/** What becomes of a message and of its session: every row of the table of outcomes, one peer after the other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault } from "../../../src/base/fault.js";
import type { PathConfig } from "../../../src/config/compiled.js";
import { SessionWorld } from "./session-harness.js";

/** What the peer at the n-th connection does, one after the other; text is said, and the commands are functions. */
type Move = string | "close" | "reset" | "silence";
interface Row {
  readonly event: string;
  readonly config?: Partial<PathConfig>;
  /** Addresses of the plan; 2 unless said. */
  readonly addresses?: number;
  /** Recipients of the transaction; 1 unless said. */
  readonly recipients?: number;
  readonly peers: readonly (readonly Move[])[];
  /** Kind and code of each settled recipient, with its row. */
  readonly fates: readonly string[];
  /** What the last record says. */
  readonly says?: RegExp;
  /** Where the session stands at the end. */
  readonly phase: string;
  readonly connections: number;
}

const UP = ["220 mx\r\n", "250-mx\r\n250 PIPELINING\r\n"];
const GOOD = [...UP, "250 ok\r\n250 ok\r\n354 go\r\n", "250 2.0.0 taken\r\n"];
const AFTER_RSET = ["250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", "250 taken\r\n"];

const ROWS: readonly Row[] = [
  ...(
    [
      ["cannot be connected to", ["reset"]],
      ["never answers the connection", ["silence"]],
      ["greets with 554", ["554 no\r\n"]],
      ["greets with 421", ["421 busy\r\n"]],
      ["closes before it greets", ["", "close"]],
      ["does not greet in time", ["", "silence"]],
      ["refuses EHLO and HELO", ["220 mx\r\n", "500 what\r\n", "500 what\r\n"]],
      ["answers EHLO with 4xx", ["220 mx\r\n", "451 later\r\n"]],
    ] as const
  ).map(([what, moves]) => ({
    event: `one address ${what}: the next one of the plan`,
    peers: [moves, GOOD],
    fates: ["1 delivered 250"],
    phase: "serving",
    connections: 2,
  })),
  {
    event: "all addresses failed: for now, with the reasons joined",
    peers: [["554 no\r\n"], ["reset"]],
    fates: ["1 transient 400"],
    says: /mx1\.example.*554 no.*mx2\.example.*ECONNRESET/,
    phase: "over",
    connections: 2,
  },
  { event: "2xx at the end: delivered", peers: [GOOD], fates: ["1 delivered 250"], phase: "serving", connections: 1 },
  ...(
    [
      ["451 4.3.0 no", "transient"],
      ["503 5.5.1 no", "transient"],
      ["550 5.7.1 no", "bounced"],
      ["554 no", "bounced"],
    ] as const
  ).map(([reply, kind]) => ({
    event: `${reply.slice(0, 3)} at the end: ${kind}`,
    peers: [[...GOOD.slice(0, 3), `${reply}\r\n`]],
    fates: [`1 ${kind} ${reply.slice(0, 3)}`],
    phase: "serving",
    connections: 1,
  })),
  {
    event: "3xx at the end: for now, and the connection is left",
    config: { reconnectStrategy: "TerminateSession" },
    peers: [[...GOOD.slice(0, 3), "354 again\r\n"]],
    fates: ["1 transient 354"],
    phase: "over",
    connections: 1,
  },
  {
    event: "421, TerminateSession: for now, and the session ends",
    config: { reconnectStrategy: "TerminateSession" },
    peers: [[...UP, "421 4.3.2 going\r\n"]],
    fates: ["1 transient 421"],
    phase: "over",
    connections: 1,
  },
  {
    event: "421, ReconnectSameHost: for now, and the session goes on at the same address",
    config: { reconnectStrategy: "ReconnectSameHost" },
    peers: [[...UP, "421 4.3.2 going\r\n"], UP],
    fates: ["1 transient 421"],
    phase: "serving",
    connections: 2,
  },
  {
    event: "421, ConnectNextHost: for now, and the session goes on at the next address",
    peers: [[...UP, "421 4.3.2 going\r\n"], UP],
    fates: ["1 transient 421"],
    phase: "serving",
    connections: 2,
  },
  {
    event: "421, ConnectNextHost with no address left: the session ends, and nothing else fails",
    addresses: 1,
    peers: [[...UP, "421 4.3.2 going\r\n"]],
    fates: ["1 transient 421"],
    phase: "over",
    connections: 1,
  },
  {
    event: "no answer in time: 421 4.4.2, made up here",
    addresses: 1,
    peers: [[...UP, "silence"]],
    fates: ["1 transient 421"],
    says: /timed out after 300s while waiting for the reply to MAIL FROM/,
    phase: "over",
    connections: 1,
  },
  {
    event: "the connection fails: 400",
    addresses: 1,
    peers: [[...UP, "reset"]],
    fates: ["1 transient 400"],
    says: /ECONNRESET while waiting for/,
    phase: "over",
    connections: 1,
  },
  {
    event: "MAIL is refused: every recipient",
    recipients: 2,
    peers: [[...UP, "550 5.7.1 no\r\n503 x\r\n503 x\r\n503 x\r\n"]],
    fates: ["1 bounced 550", "2 bounced 550"],
    phase: "serving",
    connections: 1,
  },
  ...["452 4.5.3 enough", "452 enough", "552 enough", "550 5.5.3 enough"].map((reply) => ({
    event: `${reply} for a recipient that is not the first: at once in a new transaction, without a record`,
    recipients: 2,
    peers: [[...UP, `250 ok\r\n250 ok\r\n${reply}\r\n354 go\r\n`, "250 taken\r\n", ...AFTER_RSET]],
    fates: ["1 delivered 250", "2 delivered 250"],
    phase: "serving",
    connections: 1,
  })),
  {
    event: "452 4.2.2 for a recipient that is not the first: its mailbox is full",
    recipients: 2,
    peers: [[...UP, "250 ok\r\n250 ok\r\n452 4.2.2 full\r\n354 go\r\n", "250 taken\r\n"]],
    fates: ["1 delivered 250", "2 transient 452"],
    phase: "serving",
    connections: 1,
  },
  {
    event: "452 for the first recipient: for now",
    recipients: 2,
    peers: [[...UP, "250 ok\r\n452 enough\r\n250 ok\r\n354 go\r\n", "250 taken\r\n"]],
    fates: ["1 transient 452", "2 delivered 250"],
    phase: "serving",
    connections: 1,
  },
  {
    event: "some recipients accepted: each has its own end",
    recipients: 3,
    peers: [[...UP, "250 ok\r\n250 ok\r\n550 5.1.1 no\r\n451 later\r\n354 go\r\n", "250 taken\r\n"]],
    fates: ["1 delivered 250", "2 bounced 550", "3 transient 451"],
    phase: "serving",
    connections: 1,
  },
  {
    event: "a failure that is not the message's, with try_next_host_on_transport_error: the next host at once",
    config: { tryNextHostOnTransportError: true },
    peers: [[...UP, "close"], GOOD],
    fates: ["1 delivered 250"],
    phase: "serving",
    connections: 2,
  },
  {
    event: "the same after the content has left: not at once, it may be there",
    config: { tryNextHostOnTransportError: true },
    peers: [[...GOOD.slice(0, 3), "close"], UP],
    fates: ["1 transient 400"],
    phase: "serving",
    connections: 2,
  },
];

function play(world: SessionWorld, n: number, moves: readonly Move[]): void {
  const connection = world.connection(n);
  const { handler } = connection;
  let up = false;
  for (const move of moves) {
    if (!up && move !== "reset" && move !== "silence") {
      handler.onConnect();
      up = true;
    }
    if (move === "close") handler.onClose(null);
    else if (move === "reset") handler.onClose(new Fault("socket.failed", "ECONNRESET", { errno: "ECONNRESET" }));
    else if (move === "silence") {
      const before = world.connections.length;
      world.pass(700_000, () => world.connections.length > before || world.fates.length > 0);
    } else if (move !== "") connection.hear(move);
  }
}

for (const { event, config = {}, addresses = 2, recipients = 1, peers, fates, says, phase, connections } of ROWS) {
  test(event, () => {
    const world = new SessionWorld(addresses, { maxBdatSize: 0, ...config });
    world.session.start();
    world.giveAll(Array.from({ length: recipients }, (_, i) => i + 1));
    for (const [n, moves] of peers.entries()) play(world, n, moves);
    const told = world.fates.map((fate, i) => {
      const code = fate.kind === "returned" ? "" : ` ${fate.response.code}`;
      return `${world.settled[i]} ${fate.kind}${code}`;
    });
    assert.deepEqual(told.sort(), fates);
    const last = world.fates.at(-1);
    if (says !== undefined && last !== undefined && last.kind !== "returned") assert.match(last.response.content, says);
    assert.deepEqual([world.session.phase, world.connections.length], [phase, connections]);
  });
}

test("a connection found closed after it served: the next message goes back untried, and the session ends", () => {
  const world = new SessionWorld(2, { maxBdatSize: 0 });
  world.session.start();
  world.give();
  play(world, 0, GOOD);
  world.give(2);
  world.connection(0).handler.onClose(null);
  assert.deepEqual(
    world.fates.map(({ kind }) => kind),
    ["delivered", "returned"],
  );
  assert.equal(world.session.phase, "over");
});

test("a 421 that comes unasked between two messages ends the session; no message fails of it", () => {
  const world = new SessionWorld(1, { maxBdatSize: 0 });
  world.session.start();
  world.give();
  play(world, 0, [...GOOD, "421 4.4.2 idle for too long\r\n"]);
  assert.deepEqual([world.fates.length, world.overs, world.session.phase], [1, 1, "over"]);
  assert.equal(world.give(2), false);
});

test("RSET refused, with try_next_host_on_transport_error: written down, then the next host", () => {
  const world = new SessionWorld(2, { maxBdatSize: 0, tryNextHostOnTransportError: true });
  world.session.start();
  world.give();
  play(world, 0, GOOD);
  world.give(2);
  world.connection(0).hear("502 what\r\n");
  assert.match(world.failures[0] ?? "", /what/);
  play(world, 1, GOOD);
  assert.deepEqual(
    world.fates.map(({ kind }) => kind),
    ["delivered", "delivered"],
  );
});

test("the watchdog: a session whose question is never answered is ended, and its messages wait again", () => {
  const world = new SessionWorld(1, { dispatcherProgressWatchdogTimeoutMs: 90_000 });
  world.neverPlans = true;
  world.session.start();
  world.giveAll([1, 2]);
  const waited = world.pass(200_000, () => world.overs > 0);
  assert.ok(waited >= 90_000 && waited <= 91_000, `${waited} ms`);
  const [fate] = world.fates;
  assert.ok(fate?.kind === "stuck" && fate.response.code === 451);
  assert.deepEqual(fate.response.enhanced, [4, 4, 1]);
  assert.match(fate.response.content, /no progress for 90(\.\d+)?s \(planning\)/);
  assert.deepEqual(world.settled, [2, 1]);
});

test("the watchdog lets a session alone that has nothing in hand, and one that moves", () => {
  const world = new SessionWorld(1, { maxBdatSize: 0, dispatcherProgressWatchdogTimeoutMs: 10_000 });
  world.session.start();
  world.give();
  play(world, 0, UP);
  world.pass(9000);
  world.connection(0).hear("250 ok\r\n");
  world.pass(9000);
  world.connection(0).hear("250 ok\r\n");
  world.pass(9000);
  world.connection(0).hear("354 go\r\n");
  world.connection(0).hear("250 taken\r\n");
  world.pass(50_000);
  assert.deepEqual([world.fates.map(({ kind }) => kind), world.session.phase], [["delivered"], "serving"]);
});
