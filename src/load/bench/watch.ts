import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "../../base/fault.js";
import { type Generated, generatedBy, type SinkSums, sumsOf } from "./answers.js";
import type { Child } from "./child.js";

const POLL_MS = 50;
const PROGRESS_MS = 1000;
/** With nothing new at the sink for so long, and what waits for its retry, the rest is not coming. */
const STALL_MS = 60_000;

/** Who waits. */
export interface Watching {
  /** Ends the wait early. */
  readonly signal: AbortSignal;
  /** Hears where the run stands, about once a second. */
  readonly progress: (line: string) => void;
}

/** A sink, and the processes without which nothing comes there. */
export interface Watched {
  readonly http: string;
  readonly needed: readonly Child[];
  readonly retryMs: number | null;
}

/** Lets a generator count, and waits for its end. */
export async function counted(
  context: Watching,
  generator: Child,
  sink: Watched,
  before: SinkSums,
): Promise<Generated> {
  const { signal, progress } = context;
  const stopped = () => void generator.stop();
  signal.addEventListener("abort", stopped, { once: true });
  let seen = before.messages;
  const timer = setInterval(async () => {
    try {
      const { messages } = await sumsOf(sink.http);
      progress(`${messages - before.messages} delivered, ${messages - seen} msgs/s`);
      seen = messages;
    } catch {
      // The sink is looked after by those who need it.
    }
  }, PROGRESS_MS);
  generator.say("count");
  await generator.end();
  clearInterval(timer);
  signal.removeEventListener("abort", stopped);
  signal.throwIfAborted();
  return generatedBy(generator);
}

/** Waits until the fate of `wanted` more messages than at `before` is known to the sink. */
export async function arrival(context: Watching, sink: Watched, wanted: number, before: SinkSums): Promise<SinkSums> {
  const { retryMs } = sink;
  let seen = -1;
  let seenAtMs = performance.now();
  let tellAtMs = seenAtMs + PROGRESS_MS;
  for (;;) {
    for (const child of sink.needed) child.check();
    const sums = await sumsOf(sink.http);
    const settled = sums.messages - before.messages + sums.bounced - before.bounced;
    // Without a second try, what was refused for now has come to its end for this run.
    const known = settled + (retryMs === null ? sums.deferred - before.deferred : 0);
    if (known >= wanted) return sums;
    if (performance.now() > tellAtMs) {
      context.progress(`${known} of ${wanted} came to their end`);
      tellAtMs += PROGRESS_MS;
    }
    if (known > seen) {
      seen = known;
      seenAtMs = performance.now();
    }
    if (performance.now() - seenAtMs > STALL_MS + 2 * (retryMs ?? 0)) {
      throw new Fault("worker.lost", `only ${seen} of ${wanted} messages reached the sink`);
    }
    await sleep(POLL_MS, undefined, { signal: context.signal });
  }
}
