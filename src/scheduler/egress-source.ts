import { isDeepStrictEqual } from "node:util";
import type { SourceConfig } from "../config/compiled.js";
import { FailureClass } from "../protocol/layout/frames.js";
import { HealthRule } from "../shaping/source-health.js";
import { Alarm } from "./alarms.js";
import type { EgressPath } from "./egress-path.js";
import { Chain } from "./links.js";
import type { Policy } from "./ports.js";

/** Why a source is out of use for a while. */
export type SuspensionReason = "none" | "unplumbed" | "proxy";

/** One source of connections as the scheduler uses it: its options, its paths, and whether it is well. */
export class EgressSource {
  readonly name: string;
  /** Null while the configuration does not have it (any more): its paths are given up. */
  config: SourceConfig | null;
  readonly paths = new Chain<EgressPath>();
  /** Nothing goes this way before this time, steady clock ms. */
  suspendedUntilMs = 0;
  reason: SuspensionReason = "none";
  /** Suspensions since the start. */
  suspensions = 0;
  /** Connections that failed for a reason of the source's own. */
  failures = 0;
  /** Rings when the suspension ends. */
  readonly alarm = new Alarm<EgressSource>(this);
  /** What it was suspended for is not its way any more. */
  #isElsewhere = false;
  #unplumbed: HealthRule | null = null;
  #proxy: HealthRule | null = null;

  constructor(name: string, config: SourceConfig | null) {
    this.name = name;
    this.config = config;
    this.#applyRules();
  }

  /**
   * Takes other options, or none. A rule that stays the same goes on counting; a suspension without a rule ends, and so
   * does one that speaks of an address or a proxy that the source does not use any more.
   */
  renew(config: SourceConfig | null): void {
    if (!isDeepStrictEqual(wayOf(this.config), wayOf(config))) {
      this.#unplumbed = null;
      this.#proxy = null;
      this.#isElsewhere = this.reason !== "none";
    }
    this.config = config;
    this.#applyRules();
  }

  /** Whether nothing may go this way now. */
  isSuspended(nowMs: number): boolean {
    return this.suspendedUntilMs > nowMs;
  }

  /** A connection failed for a reason of the source's own. Returns whether that suspends it, or for longer. */
  failed(failure: FailureClass, nowMs: number): boolean {
    this.failures++;
    const unplumbed = failure === FailureClass.unplumbed || failure === FailureClass.proxyUnplumbed;
    const untilMs = (unplumbed ? this.#unplumbed : this.#proxy)?.failed(nowMs) ?? 0;
    if (untilMs <= this.suspendedUntilMs) return false;
    if (!this.isSuspended(nowMs)) this.suspensions++;
    this.suspendedUntilMs = untilMs;
    this.reason = unplumbed ? "unplumbed" : "proxy";
    return true;
  }

  /** The suspension is over. */
  resume(): void {
    this.#isElsewhere = false;
    this.suspendedUntilMs = 0;
    this.reason = "none";
  }

  #applyRules(): void {
    this.#unplumbed = renewed(this.#unplumbed, this.config?.suspendWhenUnplumbed ?? null);
    this.#proxy = renewed(this.#proxy, this.config?.suspendWhenProxyUnhealthy ?? null);
  }

  /** Whether the rule that suspended it is still there, and speaks of what it is now. */
  get suspensionStands(): boolean {
    return !this.#isElsewhere && (this.reason === "unplumbed" ? this.#unplumbed : this.#proxy) !== null;
  }
}

/** Where connections of a source leave from: what its health is the health of. */
function wayOf(config: SourceConfig | null) {
  return config === null ? null : [config.sourceAddress, config.freeBind, config.proxy];
}

function renewed(known: HealthRule | null, rule: SourceConfig["suspendWhenUnplumbed"]): HealthRule | null {
  if (rule === null) return null;
  const old = known?.rule;
  const same =
    old !== undefined &&
    old.failures === rule.failures &&
    old.periodMs === rule.periodMs &&
    old.durationMs === rule.durationMs;
  return same ? known : new HealthRule(rule);
}

/**
 * What it is:  the sources that paths leave from, by name.
 * Runs on:     the scheduler's thread.
 * Owns:        the sources and their health.
 * When full:   as many as the configuration names, and those whose paths are not gone yet.
 * On failure:  nothing can fail.
 */
export class SourceBook {
  readonly #policy: Policy;
  readonly #byName = new Map<string, EgressSource>();

  constructor(policy: Policy) {
    this.#policy = policy;
  }

  all(): IterableIterator<EgressSource> {
    return this.#byName.values();
  }

  find(name: string): EgressSource | undefined {
    return this.#byName.get(name);
  }

  of(name: string): EgressSource {
    let source = this.#byName.get(name);
    if (source === undefined) {
      source = new EgressSource(name, this.#policy.source(name));
      this.#byName.set(name, source);
    }
    return source;
  }

  /** Gives every source the options of a new configuration; forgets those that neither it nor a path has. */
  renew(): void {
    for (const source of this.#byName.values()) {
      source.renew(this.#policy.source(source.name));
      if (source.config === null && source.paths.length === 0 && source.alarm.slot < 0)
        this.#byName.delete(source.name);
    }
  }
}

/** Whether a failure is the source's own, and not held against the destination. */
export function isOfSource(failure: FailureClass): boolean {
  return (
    failure === FailureClass.unplumbed ||
    failure === FailureClass.proxyConnect ||
    failure === FailureClass.proxyUnplumbed
  );
}
