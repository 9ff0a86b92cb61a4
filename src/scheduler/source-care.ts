import type { FailureClass } from "../protocol/layout/frames.js";
import type { Core } from "./core.js";
import type { EgressPath } from "./egress-path.js";
import type { EgressSource } from "./egress-source.js";

/** The health of sources: out of use after failures of their own, in use again when the time is over. */
export class SourceCare {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /** A connection of this path failed for a reason of its source's own: not the destination's, which is not blamed. */
  failed({ source }: EgressPath, failure: FailureClass): void {
    const { agenda, nowMs } = this.#core;
    if (!source.failed(failure, nowMs)) return;
    agenda.sourceAlarms.clear(source.alarm);
    agenda.sourceAlarms.ringBy(source.alarm, source.suspendedUntilMs);
    // What is ready takes other sources, or waits for this one without holding a place.
    for (let link = source.paths.first; link !== null; link = link.next) {
      if (link.owner.ready.length > 0) agenda.withdrawing.ensure(link.owner.withdrawLink);
    }
  }

  /** Ends suspensions whose time is over, at most `max`; returns how many. */
  ring(max: number): number {
    const { agenda, nowMs } = this.#core;
    for (let rung = 0; rung < max; rung++) {
      const source = agenda.sourceAlarms.ring(nowMs);
      if (source === null) return rung;
      this.resume(source);
    }
    return max;
  }

  /** The source is in use again. Queues that wait for it have timers of their own. */
  resume(source: EgressSource): void {
    const { agenda } = this.#core;
    source.resume();
    agenda.sourceAlarms.clear(source.alarm);
    for (let link = source.paths.first; link !== null; link = link.next) {
      agenda.serviceable.ensure(link.owner.serviceLink);
      if (link.owner.ready.parked > 0) agenda.roomy.ensure(link.owner.roomyLink);
    }
  }
}
