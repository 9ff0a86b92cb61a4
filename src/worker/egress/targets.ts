/**
 * The way of a session to a peer: the addresses of its plan, which of them is tried, and what came of the others.
 *
 * Runs on   a worker, one per session
 * Owns      the place in the plan, and the failures since the session was last greeted
 * When full a plan is bounded by the rules that made it
 * On failure a failed address is noted; when none is left `exhausted` joins what was noted
 */
import { assert } from "../../base/assert.js";
import type { Fault } from "../../base/fault.js";
import type { FailureClass } from "../../protocol/layout/frames.js";
import type { ResponseText } from "../../protocol/records.js";
import type { StepResult } from "../../smtp/client-result.js";
import { blame, commonCause, type Origin } from "./cause.js";
import type { PlanTarget } from "./plan.js";
import { type HostFailure, judgeUnreachable } from "./verdict.js";

/** See the file's header. */
export class Targets {
  #plan: readonly PlanTarget[] = [];
  #next = 0;
  #current: PlanTarget | null = null;
  #failures: HostFailure[] = [];

  /** The address that is connected to, or was tried last; null before the first. */
  get current(): PlanTarget | null {
    return this.#current;
  }

  /** Whether the plan has an address that was not tried. */
  get hasNext(): boolean {
    return this.#next < this.#plan.length;
  }

  /** Why no address is left, as the message in hand is told. */
  get exhausted(): ResponseText {
    return judgeUnreachable(this.#failures);
  }

  /** Who is to blame that no address is left. */
  get cause(): FailureClass {
    return commonCause(this.#failures);
  }

  /** The plan is made. */
  begin(plan: readonly PlanTarget[]): void {
    this.#plan = plan;
  }

  /** Goes on to the next address; null when none is left. */
  advance(): PlanTarget | null {
    const target = this.#plan[this.#next];
    if (target === undefined) return null;
    this.#next++;
    this.#current = target;
    return target;
  }

  /** The current address is the next one once more. */
  stepBack(): void {
    this.#next--;
  }

  /** The current address cannot be used. */
  failed(failure: StepResult, fault: Fault | null, origin: Origin): void {
    const target = this.#current;
    assert(target !== null, "an address failed that was not tried");
    this.#failures.push(blame(target, failure, fault, origin));
  }

  /** The current address has greeted us: what the others did is of no interest any more. */
  reached(): void {
    this.#failures = [];
  }
}
