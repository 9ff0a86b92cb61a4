/** Spools that are not as their server left them, and other numbers of workers. */
import { test } from "node:test";
import { damagedRecords, otherWorkers, refusedSpools, tornLog } from "../torture/spool.js";

test("one worker, then three, then two, then one: what waits is delivered, once", async (t) => {
  t.diagnostic(await otherWorkers(21));
});

test("a row and a body with flipped bytes are set aside and counted, the others are delivered", async (t) => {
  t.diagnostic(await damagedRecords(22));
});

test("never a fresh empty spool: what is damaged, missing or not writable is refused in one line", async (t) => {
  t.diagnostic(await refusedSpools(23));
});

test("a cut last line of the log, and a second server: numbers go on, nothing is lost", async (t) => {
  t.diagnostic(await tornLog(24));
});
