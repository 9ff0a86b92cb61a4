import type { Clock } from "../base/clock.js";
import type { Undo } from "../base/undo.js";
import type { CompiledConfig, ListenAddress } from "../config/compiled.js";
import { threadMeter } from "../dns/meter.js";
import { MxRouter } from "../dns/router.js";
import { TlsReports } from "../dns/tls-reports.js";
import type { SharedState } from "../protocol/layout/shared-state.js";

/** Whom the router wakes and tells. */
export interface RouterOwner {
  /** After each answer that came later. */
  wake(): void;
  notice(line: string): void;
}

/** The main thread's router, and the counts of how TLS went, in which it notes policies that could not be had. */
export function openRouter(
  config: CompiledConfig,
  clock: Clock,
  sink: ListenAddress | null,
  shared: SharedState,
  owner: RouterOwner,
  undo: Undo,
): { readonly router: MxRouter; readonly tlsReports: TlsReports } {
  const notice = (line: string): void => owner.notice(line);
  const tlsReports = new TlsReports(config.node.dataDir, clock, notice);
  undo.push(() => tlsReports.stop());
  const router = new MxRouter(
    config,
    clock,
    sink,
    { afterwards: () => owner.wake(), notice, report: (outcome) => tlsReports.add([{ ...outcome, count: 1 }]) },
    threadMeter(shared.counters(0), shared.histograms(0)),
  );
  undo.push(() => router.stop());
  return { router, tlsReports };
}
