import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { Fault, messageOf } from "../../base/fault.js";
import type { ListenAddress } from "../../config/compiled.js";
import { formatSocketAddress } from "../../config/text-kinds.js";
import type { Child } from "./child.js";

// What the bench's processes say, checked: ready files, the generator's result, the sink's sums, the server's metrics.

const address = z.object({ host: z.string(), port: z.number() });
const readyShape = z.object({
  smtp: z.array(address).min(1),
  http: z.array(address).min(1),
  workers: z.number().optional(),
});
const warmShape = z.object({ accepted: z.number(), failed: z.number() });
const totalsShape = z.object({ messages: z.number(), bounced: z.number(), deferred: z.number() });
const seriesShape = z.object({ value: z.array(z.object({ value: z.number() })).min(1) });
const spoolShape = z.object({
  spool_batches_total: seriesShape,
  spool_operations_total: seriesShape,
  in_flight_count: seriesShape,
  retiring_count: seriesShape,
});
/** A server gets this long to put away what it has delivered. */
const SETTLE_MS = 2000;
const POLL_MS = 20;
const generatedShape = z.object({
  accepted: z.number(),
  failed: z.number(),
  started_us: z.number(),
  seconds: z.number(),
  messages_per_second: z.number(),
  mebibytes_per_second: z.number(),
  latency_ms: z.record(z.string(), z.number()),
  generator_cpu_seconds: z.number(),
  error: z.string().nullable(),
});

/** What the generator prints at its end. */
export type Generated = z.infer<typeof generatedShape>;
/** Sums of a sink. */
export type SinkSums = z.infer<typeof totalsShape>;

/** Where a process listens. */
export interface Ready {
  readonly smtp: ListenAddress;
  /** Base of its HTTP addresses, without a slash at the end. */
  readonly http: string;
  readonly workers: number | null;
}

/** Waits until a server or sink listens. @throws {Fault} `worker.lost` */
export async function readyOf(child: Child): Promise<Ready> {
  const { smtp, http, workers } = readyShape.parse(await child.ready());
  return {
    smtp: smtp[0] as ListenAddress,
    http: `http://${formatSocketAddress(http[0] as ListenAddress)}`,
    workers: workers ?? null,
  };
}

/** Waits until a generator's warm-up is over; gives how many messages of it were accepted. @throws {Fault} `worker.lost` */
export async function warmOf(child: Child, signal: AbortSignal): Promise<number> {
  return warmShape.parse(await child.ready(Number.POSITIVE_INFINITY, signal)).accepted;
}

/** The result of a generator that has ended. @throws {Fault} `worker.lost` when it failed or nothing was accepted. */
export function generatedBy(child: Child): Generated {
  const line = child.output().trim().split("\n").at(-1) ?? "";
  const parsed = line.startsWith("{") ? generatedShape.safeParse(JSON.parse(line)) : null;
  if (parsed === null || !parsed.success) throw new Fault("worker.lost", `the generator failed: ${child.output()}`);
  if (parsed.data.accepted === 0) throw new Fault("worker.lost", `nothing was accepted: ${parsed.data.error ?? line}`);
  return parsed.data;
}

/** Asks a sink for its sums. @throws {Fault} `worker.lost` when it does not answer. */
export async function sumsOf(http: string): Promise<SinkSums> {
  try {
    return totalsShape.parse(await (await fetch(`${http}/totals`)).json());
  } catch (error) {
    throw new Fault("worker.lost", `the sink does not tell its counters: ${messageOf(error)}`, { cause: error });
  }
}

/** What the spool of a server has committed so far. */
export interface SpoolCounters {
  readonly batches: number;
  readonly operations: number;
}

/**
 * Asks a server what its spool has committed, when it has put away everything that it delivered, or after two seconds;
 * null when it has no such metrics.
 */
export async function spoolOf(http: string): Promise<SpoolCounters | null> {
  const sum = (series: z.infer<typeof seriesShape>) => series.value.reduce((total, { value }) => total + value, 0);
  const deadline = performance.now() + SETTLE_MS;
  try {
    for (;;) {
      const read = spoolShape.parse(await (await fetch(`${http}/metrics.json`)).json());
      const settled = sum(read.in_flight_count) + sum(read.retiring_count) === 0;
      if (settled || performance.now() > deadline) {
        return { batches: sum(read.spool_batches_total), operations: sum(read.spool_operations_total) };
      }
      await sleep(POLL_MS);
    }
  } catch {
    return null;
  }
}
