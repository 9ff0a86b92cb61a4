import type { Fault } from "../../base/fault.js";
import type { ProxyConfig } from "../../config/compiled.js";
import { FailureClass, failureBits, OutcomeFlag } from "../../protocol/layout/frames.js";
import type { StepResult } from "../../smtp/client-result.js";
import type { HostFailure } from "./verdict.js";

/** Where connections of a path leave from. */
export interface Origin {
  readonly proxy: ProxyConfig | null;
  /** Whether they leave from an address that no interface of this machine has. */
  readonly isUnplumbed: boolean;
}

/** How causes are called in the text of a record; "" where the failures speak for themselves. */
export const CAUSE_WORDS: Readonly<Record<FailureClass, string>> = {
  [FailureClass.ok]: "",
  [FailureClass.unplumbed]: "unplumbed source address",
  [FailureClass.proxyConnect]: "proxy",
  [FailureClass.proxyUnplumbed]: "source address unplumbed on the proxy",
  [FailureClass.tls]: "TLS",
  [FailureClass.other]: "",
  [FailureClass.proxyDestination]: "proxy cannot reach the destination",
};

/** Blames somebody for a failure. `fault` is the connection's, null where the failure was another one. */
export function causeOf(failure: StepResult, fault: Fault | null, origin: Origin): FailureClass {
  switch (fault?.code) {
    case "proxy.unreachable":
    case "proxy.handshake":
      return FailureClass.proxyConnect;
    case "proxy.unplumbed":
      return FailureClass.proxyUnplumbed;
    case "proxy.destination":
      return FailureClass.proxyDestination;
  }
  const { stage, answer } = failure;
  const { proxy } = origin;
  // Whoever speaks of TLS is the host, through a proxy too.
  if (answer.kind === "tls") return FailureClass.tls;
  if (proxy === null) {
    // The error has two meanings: nobody has the address, or all of its ports are in use towards this destination.
    const unplumbed = stage === "connect" && fault?.errno === "EADDRNOTAVAIL" && origin.isUnplumbed;
    return unplumbed ? FailureClass.unplumbed : FailureClass.other;
  }
  if (stage === "connect") return FailureClass.proxyConnect;
  // A HAProxy has no words of its own: what it cannot do looks like a host that says nothing, or hangs up.
  const silent = answer.kind === "timeout" || answer.kind === "closed" || answer.kind === "transport";
  const isSilence = proxy.protocol === "haproxy" && stage === "banner" && silent;
  return isSilence ? FailureClass.proxyConnect : FailureClass.other;
}

/** What is kept of an address that could not be used. */
export function blame(
  target: { readonly name: string; readonly address: string | null },
  failure: StepResult,
  fault: Fault | null,
  origin: Origin,
): HostFailure {
  const { proxy } = origin;
  const cause = causeOf(failure, fault, origin);
  // A proxy's fault names it already.
  const via = proxy === null || fault !== null || !isOfProxy(cause) ? null : proxyName(proxy);
  return { name: target.name, address: target.address, failure, cause, via };
}

/** The one cause of all failures; `other` of several, and `ok` when nothing was tried. */
export function commonCause(failures: readonly { readonly cause: FailureClass }[]): FailureClass {
  const first = failures[0]?.cause ?? FailureClass.ok;
  return failures.every((one) => one.cause === first) ? first : worse(failures);
}

/** Of several causes: what a proxy did must not be held against a host, so a host must have failed itself. */
function worse(failures: readonly { readonly cause: FailureClass }[]): FailureClass {
  return failures.every((one) => isOfProxy(one.cause)) ? FailureClass.proxyConnect : FailureClass.other;
}

/** Whether a proxy is to blame. */
export function isOfProxy(cause: FailureClass): boolean {
  const { proxyConnect, proxyUnplumbed, proxyDestination } = FailureClass;
  return cause === proxyConnect || cause === proxyUnplumbed || cause === proxyDestination;
}

/** What the scheduler is told when no address of a plan could be used: only what hosts did counts against the path. */
export function unreachableFlags(cause: FailureClass): number {
  const isOurs = cause === FailureClass.unplumbed || isOfProxy(cause);
  return isOurs ? failureBits(cause) : OutcomeFlag.connectFailed | failureBits(cause);
}

/** `haproxy 192.0.2.1:8025`, as texts and records name a proxy. */
export function proxyName(proxy: ProxyConfig): string {
  return `${proxy.protocol} ${serverName(proxy)}`;
}

/** Where a proxy listens, as configured. */
export function serverName({ server: { host, port } }: ProxyConfig): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
