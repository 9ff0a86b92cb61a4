/** Transactions with several recipients, and content in one write, as one delivery session has them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SessionWorld } from "./session-harness.js";

const OFFERS = "250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n";

/** Greets the session on a connection. */
function greet(world: SessionWorld, n: number, offers = OFFERS): void {
  const connection = world.connection(n);
  connection.handler.onConnect();
  connection.hear("220 mx ESMTP\r\n");
  connection.written = "";
  connection.hear(offers);
}

/** What was written to a connection since the last call. */
function wrote(world: SessionWorld, n: number): string {
  const connection = world.connection(n);
  const { written } = connection;
  connection.written = "";
  return written;
}

function kinds(world: SessionWorld): string[] {
  return world.fates.map((fate, i) => `${world.settled[i]} ${fate.kind}`);
}

test("recipients given together go into one transaction, and each has its own fate", () => {
  const world = new SessionWorld(1, { maxBdatSize: 0 });
  world.session.start();
  world.giveAll([1, 2, 3]);
  greet(world, 0);
  const group = "MAIL FROM:<from@a.example>\r\nRCPT TO:<to1@b.example>\r\nRCPT TO:<to2@b.example>\r\n";
  assert.equal(wrote(world, 0), `${group}RCPT TO:<to3@b.example>\r\nDATA\r\n`);
  world.connection(0).hear("250 ok\r\n250 ok\r\n550 5.1.1 no\r\n451 later\r\n354 go\r\n");
  world.connection(0).hear("250 taken\r\n");
  assert.deepEqual(kinds(world), ["1 delivered", "2 bounced", "3 transient"]);
  assert.deepEqual(world.ends, ["goes-on", "goes-on", "goes-on"]);
});

test("nothing is sent before the last recipient of the transaction has come", () => {
  const world = new SessionWorld(1);
  world.session.start();
  world.give(1, true);
  greet(world, 0);
  assert.equal(wrote(world, 0), "");
  world.give(2, true);
  assert.equal(wrote(world, 0), "");
  world.give(3);
  assert.match(wrote(world, 0), /^MAIL .*\r\n(RCPT TO:<to@b.example>\r\n){3}BDAT/);
});

test("recipients too many go into a new transaction of the same connection at once, without a record", () => {
  const world = new SessionWorld(1, { maxBdatSize: 0 });
  world.session.start();
  world.giveAll([1, 2, 3]);
  greet(world, 0);
  wrote(world, 0);
  world.connection(0).hear("250 ok\r\n250 ok\r\n452 4.5.3 too many\r\n452 4.5.3 too many\r\n354 go\r\n");
  wrote(world, 0);
  world.connection(0).hear("250 taken\r\n");
  assert.deepEqual(kinds(world), ["1 delivered"]);
  assert.deepEqual(world.failures, []);
  const again = "RSET\r\nMAIL FROM:<from@a.example>\r\nRCPT TO:<to2@b.example>\r\nRCPT TO:<to3@b.example>\r\nDATA\r\n";
  assert.equal(wrote(world, 0), again);
  // The enhanced code says why: it may say so as often as it likes, one is taken each time.
  world.connection(0).hear("250 ok\r\n250 ok\r\n250 ok\r\n452 4.5.3 too many\r\n354 go\r\n");
  wrote(world, 0);
  world.connection(0).hear("250 taken\r\n");
  assert.match(wrote(world, 0), /^RSET\r\nMAIL .*\r\nRCPT TO:<to3@/);
  world.connection(0).hear("250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
  world.connection(0).hear("250 taken\r\n");
  assert.deepEqual(kinds(world), ["1 delivered", "2 delivered", "3 delivered"]);
});

test("452 without an enhanced code is tried again at once one time, and then fails for now", () => {
  const world = new SessionWorld(1, { maxBdatSize: 0 });
  world.session.start();
  world.giveAll([1, 2, 3]);
  greet(world, 0);
  world.connection(0).hear("250 ok\r\n250 ok\r\n452 full\r\n552 full\r\n354 go\r\n");
  world.connection(0).hear("250 taken\r\n");
  world.connection(0).hear("250 ok\r\n250 ok\r\n250 ok\r\n452 full\r\n354 go\r\n");
  world.connection(0).hear("250 taken\r\n");
  assert.deepEqual(kinds(world), ["1 delivered", "2 delivered", "3 transient"]);
  // What comes next is a transaction of its own: there it may be tried again at once.
  world.giveAll([4, 5]);
  wrote(world, 0);
  world.connection(0).hear("250 ok\r\n250 ok\r\n250 ok\r\n452 full\r\n354 go\r\n");
  world.connection(0).hear("250 taken\r\n");
  assert.match(wrote(world, 0), /RCPT TO:<to5@b.example>\r\nDATA/);
});

test("a lost connection is each recipient's own failure, and the last one ends the session", () => {
  const world = new SessionWorld(1, { maxBdatSize: 0 });
  world.session.start();
  world.giveAll([1, 2]);
  greet(world, 0);
  world.connection(0).hear("250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n");
  world.connection(0).handler.onClose(null);
  assert.deepEqual(kinds(world), ["1 bounced", "2 transient"]);
  assert.deepEqual([world.ends, world.overs], [["goes-on", "ended"], 0]);
});

test("with no address left all recipients fail, what waits behind goes back, and the path hears of it once", () => {
  const world = new SessionWorld(1);
  world.session.start();
  world.giveAll([1, 2]);
  world.giveAll([3, 4]);
  world.connection(0).handler.onClose(null);
  assert.deepEqual(kinds(world), ["4 returned", "3 returned", "1 transient", "2 transient"]);
  assert.deepEqual(world.ends, ["goes-on", "goes-on", "unreached", "unreachable"]);
});

test("a plan that fails before the whole transaction has come fails all of it", () => {
  const world = new SessionWorld(0);
  world.session.start();
  world.give(1, true);
  assert.deepEqual(kinds(world), []);
  world.give(2);
  assert.deepEqual(kinds(world), ["1 transient", "2 transient"]);
  assert.deepEqual(world.ends, ["unreached", "unreachable"]);
});

test("what is aborted goes back in an order that the queue's front restores", () => {
  const world = new SessionWorld(1);
  world.session.start();
  world.giveAll([1, 2, 3]);
  greet(world, 0);
  world.session.abort();
  assert.deepEqual(kinds(world), ["3 returned", "2 returned", "1 returned"]);
  assert.equal(world.overs, 1);
});

test("the next host gets those whose transaction broke, and each failure is written down", () => {
  const world = new SessionWorld(2, { maxBdatSize: 0, tryNextHostOnTransportError: true });
  world.session.start();
  world.giveAll([1, 2]);
  greet(world, 0);
  world.connection(0).hear("250 ok\r\n550 no\r\n");
  world.connection(0).handler.onClose(null);
  assert.deepEqual(kinds(world), ["1 bounced"]);
  assert.equal(world.failures.length, 1);
  assert.match(world.failures[0] as string, /closed by the peer/);
  greet(world, 1);
  assert.match(wrote(world, 1), /^MAIL FROM:<from@a.example>\r\nRCPT TO:<to2@b.example>\r\nDATA/);
  world.connection(1).hear("250 ok\r\n250 ok\r\n354 go\r\n");
  world.connection(1).hear("250 taken\r\n");
  assert.deepEqual(kinds(world), ["1 bounced", "2 delivered"]);
});

test("BDAT: one write, one round trip; it is known to work after the second message", () => {
  const world = new SessionWorld(1);
  world.session.start();
  world.give(1);
  greet(world, 0);
  const text = "Subject: x\r\n\r\nText\r\n";
  const group = "MAIL FROM:<from@a.example>\r\nRCPT TO:<to@b.example>\r\nBDAT 20 LAST\r\n";
  assert.equal(wrote(world, 0), group + text);
  world.connection(0).hear("250 ok\r\n250 ok\r\n250 taken\r\n");
  assert.deepEqual([kinds(world), world.chunks], [["1 delivered"], []]);
  world.give(2);
  assert.equal(wrote(world, 0), `RSET\r\n${group}${text}`);
  world.connection(0).hear("250 ok\r\n250 ok\r\n250 ok\r\n250 taken\r\n");
  assert.deepEqual(world.chunks, ["worked"]);
});

test("a peer that does not know BDAT is left, told of, and gets the message by DATA on a new connection", () => {
  const world = new SessionWorld(1);
  world.session.start();
  world.give(1);
  greet(world, 0);
  world.connection(0).hear("250 ok\r\n250 ok\r\n500 what\r\n500 what\r\n");
  assert.deepEqual([kinds(world), world.chunks, world.failures], [[], ["refused"], []]);
  assert.equal(world.connection(0).closed, "ended");
  world.mayChunk = false;
  greet(world, 1);
  assert.match(wrote(world, 1), /DATA\r\n$/);
  world.connection(1).hear("250 ok\r\n250 ok\r\n354 go\r\n");
  world.connection(1).hear("250 taken\r\n");
  assert.deepEqual(kinds(world), ["1 delivered"]);
});

test("a server that quits while it is told to use BDAT no more gives the message back", () => {
  const world = new SessionWorld(1);
  world.session.start();
  world.give(1);
  greet(world, 0);
  world.session.quit();
  world.connection(0).hear("250 ok\r\n250 ok\r\n503 what\r\n");
  assert.deepEqual([kinds(world), world.overs], [["1 returned"], 1]);
});

for (const [what, happens] of [
  ["closes", (world: SessionWorld) => world.connection(0).handler.onClose(null)],
  ["says nothing", (world: SessionWorld) => void world.pass(400_000, () => world.fates.length > 0)],
  [
    "answers too much",
    (world: SessionWorld) => world.connection(0).hear("250 ok\r\n250 ok\r\n250 taken\r\n250 more\r\n"),
  ],
  [
    "answers too much later",
    (world: SessionWorld) => {
      world.connection(0).hear("250 ok\r\n250 ok\r\n250 taken\r\n");
      world.connection(0).hear("500 what\r\n");
    },
  ],
] as const) {
  test(`a peer that ${what} over the first BDAT is told of`, () => {
    const world = new SessionWorld(1, { tryNextHostOnTransportError: true });
    world.session.start();
    world.give(1);
    greet(world, 0);
    happens(world);
    assert.deepEqual(world.chunks, ["lost"]);
    assert.equal(world.fates.length, 1, "it may have the content: nobody else gets it at once");
  });
}

test("a connection found closed says nothing of BDAT, and the message goes back", () => {
  const world = new SessionWorld(1);
  world.session.start();
  world.give(1);
  greet(world, 0);
  world.connection(0).hear("250 ok\r\n250 ok\r\n250 taken\r\n");
  world.give(2);
  world.connection(0).handler.onClose(null);
  assert.deepEqual([kinds(world), world.chunks], [["1 delivered", "2 returned"], []]);
});
