import type { ShardIndex } from "../../src/base/brands.js";
import { SystemClock } from "../../src/base/clock.js";
import { Shard } from "../../src/worker/spool/shard.js";
import { Heard, reception } from "../worker/spool/helpers.js";

/** Messages stored before the first of them is waited for. */
const AT_ONCE = 10_000;
const DAY_MS = 86_400_000;

/** One message of a filled spool. */
export interface Filling {
  readonly recipient: string;
  readonly queue: string;
  /** Due at once; else in a day. */
  readonly due: boolean;
}

/** Fills shard 0 of a spool that nobody uses with `count` small messages, in order. */
export async function fillSpool(spoolPath: string, count: number, filling: (at: number) => Filling): Promise<void> {
  const clock = new SystemClock();
  const heard = new Heard();
  const shard = Shard.open({
    spoolPath,
    shard: 0 as ShardIndex,
    durability: "committed",
    clock,
    events: heard,
    recentBytes: 0,
    syncIntervalMs: 60_000,
    check: false,
  });
  const content = Buffer.from("Subject: waits\r\n\r\nThis message waits.\r\n");
  let last = Promise.resolve();
  for (let at = 0; at < count; at++) {
    const { recipient, queue, due } = filling(at);
    last = new Promise((resolve, reject) => {
      shard.storeTransaction(
        {
          firstKey: shard.newKeys(1),
          content,
          sender: "s@x.example",
          recipients: [{ recipient, queue }],
          reception,
          meta: null,
          flags: 0,
          dueMs: due ? 0 : clock.steadyMs() + DAY_MS,
          forceFlush: false,
          deferred: false,
          hold: null,
        },
        { onStored: (fault) => (fault === null ? resolve() : reject(fault)) },
      );
    });
    if (at % AT_ONCE === 0) await last;
  }
  await last;
  await shard.close();
  if (heard.faults[0] !== undefined) throw heard.faults[0];
}
