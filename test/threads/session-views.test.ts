/** Workers that are asked what their sessions do: who answers, who does not, and how long that is waited for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DownMessage } from "../../src/protocol/messages.js";
import type { SessionView } from "../../src/protocol/session-view.js";
import { SessionViews } from "../../src/threads/session-views.js";

const ASKED = [
  { id: 1, worker: 0 },
  { id: 2, worker: 1 },
  { id: 3, worker: 0 },
];
/** Longer than any test takes. */
const FOREVER_MS = 60_000;

function view(id: number): SessionView {
  return {
    id,
    phase: "ready",
    phaseMs: 1,
    quietMs: 1,
    logId: "log",
    host: "mx.example",
    address: "192.0.2.1",
    port: 25,
    tls: null,
    transactions: 1,
    delivered: 1,
    inHand: 0,
    localAddress: "192.0.2.2",
    proxy: null,
  };
}

/** Workers that note what they are told; those in `deaf` cannot be told. */
class Workers {
  readonly told: [number, DownMessage][] = [];
  readonly deaf = new Set<number>();

  tell(worker: number, message: DownMessage): boolean {
    if (this.deaf.has(worker)) return false;
    this.told.push([worker, message]);
    return true;
  }
}

function says(views: SessionViews, worker: number, request: number, ids: readonly number[], last = true): void {
  views.inspected(worker, { kind: "inspected", request, sessions: ids.map(view), last });
}

test("each worker is asked once for its own sessions; the answer comes with the last part of the last one", async () => {
  const workers = new Workers();
  const views = new SessionViews(workers, FOREVER_MS);
  const answer = views.ask(ASKED);
  assert.deepEqual(workers.told, [
    [0, { kind: "inspect", request: 1, sessions: [1, 3] }],
    [1, { kind: "inspect", request: 1, sessions: [2] }],
  ]);
  let over = false;
  void answer.then(() => (over = true));
  says(views, 0, 1, [1], false);
  says(views, 1, 1, [2]);
  await new Promise(setImmediate);
  assert.equal(over, false, "a part is missing");
  says(views, 0, 1, [3]);
  const { views: seen, silent } = await answer;
  assert.deepEqual([[...seen.keys()].sort(), silent], [[1, 2, 3], []]);
});

test("a worker that does not answer in time is named, and its late answer finds nobody", async () => {
  const views = new SessionViews(new Workers(), 20);
  const answer = views.ask(ASKED);
  says(views, 0, 1, [1, 3]);
  const { views: seen, silent } = await answer;
  assert.deepEqual([[...seen.keys()], silent], [[1, 3], [1]]);
  says(views, 1, 1, [2]);
  assert.equal(seen.size, 2);
});

test("a worker that cannot be told, or dies, is not waited for", async () => {
  const workers = new Workers();
  workers.deaf.add(1);
  const views = new SessionViews(workers, FOREVER_MS);
  const answer = views.ask(ASKED);
  views.lost(0);
  assert.deepEqual((await answer).silent, [0, 1]);
});

test("with no session nobody is asked; a stop answers whoever waits", async () => {
  const workers = new Workers();
  const views = new SessionViews(workers, FOREVER_MS);
  assert.deepEqual((await views.ask([])).silent, []);
  assert.equal(workers.told.length, 0);
  const answer = views.ask(ASKED);
  views.stop();
  assert.deepEqual((await answer).silent, [0, 1]);
});

test("eight questions at a time; one more is answered at once with what the scheduler has", async () => {
  const workers = new Workers();
  const views = new SessionViews(workers, FOREVER_MS);
  const under = Array.from({ length: 8 }, () => views.ask(ASKED));
  const told = workers.told.length;
  assert.deepEqual((await views.ask(ASKED)).silent, [0, 1]);
  assert.equal(workers.told.length, told);
  views.stop();
  await Promise.all(under);
});
