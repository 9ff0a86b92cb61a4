/** The last resort against a thread that spins, and what is said when it does not help. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { WorkerPool } from "../../src/threads/pool.js";
import { until } from "../support/server.js";

test("a thread is ended from outside; where that fails, why", async (t) => {
  const made: Worker[] = [];
  const unref = Worker.prototype.unref;
  t.mock.method(Worker.prototype, "unref", function (this: Worker) {
    made.push(this);
    unref.call(this);
  });
  const pool = new WorkerPool(1);
  t.after(() => pool.close());
  await until(() => made.length > 0, "the pool's thread");
  const { threadId } = made[0] as Worker;
  assert.equal(await pool.kill(-1), "there is no thread -1 any more");
  const refusal = t.mock.method(Worker.prototype, "terminate", () => Promise.reject(new Error("it cannot be reached")));
  const why = await pool.kill(threadId).finally(() => refusal.mock.restore());
  assert.equal(why, "it cannot be reached");
  assert.equal(await pool.kill(threadId), null);
});
