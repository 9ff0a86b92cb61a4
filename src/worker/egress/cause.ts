import { unreachable } from "../../base/assert.js";
import type { Fault } from "../../base/fault.js";
import type { ProxyConfig } from "../../config/compiled.js";
import { OutcomeFlag } from "../../protocol/layout/frames.js";
import type { StepResult } from "../../smtp/client-result.js";
import type { HostFailure } from "./verdict.js";

/** Who is to blame that an address could not be connected to and greeted. */
export type FailureCause =
  /** The host, or the network on the way to it. */
  | "host"
  /** The source: its address is not of this machine. */
  | "unplumbed"
  /** The proxy: not reached, nonsense instead of a handshake, or silence where a HAProxy should have carried a greeting. */
  | "proxy"
  /** The proxy's machine does not have the source's address. */
  | "proxy-unplumbed"
  /** The proxy works; it could not connect to the address. */
  | "proxy-destination";

/** How causes are called in the text of a record; "" where the failures speak for themselves. */
export const CAUSE_WORDS: Readonly<Record<FailureCause, string>> = {
  host: "",
  unplumbed: "unplumbed source address",
  proxy: "proxy",
  "proxy-unplumbed": "source address unplumbed on the proxy",
  "proxy-destination": "proxy cannot reach the destination",
};

/** Blames somebody for a failure. `fault` is the connection's, null where the failure was another one. */
export function causeOf(failure: StepResult, fault: Fault | null, proxy: ProxyConfig | null): FailureCause {
  switch (fault?.code) {
    case "proxy.unreachable":
    case "proxy.handshake":
      return "proxy";
    case "proxy.unplumbed":
      return "proxy-unplumbed";
    case "proxy.destination":
      return "proxy-destination";
  }
  const { stage, answer } = failure;
  if (proxy === null) return stage === "connect" && fault?.errno === "EADDRNOTAVAIL" ? "unplumbed" : "host";
  if (stage === "connect") return "proxy";
  // A HAProxy has no words of its own: what it cannot do looks like a host that says nothing, or hangs up.
  const silent = answer.kind === "timeout" || answer.kind === "closed" || answer.kind === "transport";
  return proxy.protocol === "haproxy" && stage === "banner" && silent ? "proxy" : "host";
}

/** What is kept of an address that could not be used. */
export function blame(
  target: { readonly name: string; readonly address: string | null },
  failure: StepResult,
  fault: Fault | null,
  proxy: ProxyConfig | null,
): HostFailure {
  const cause = causeOf(failure, fault, proxy);
  // A proxy's fault names it already.
  const via = proxy === null || fault !== null || cause === "host" ? null : proxyName(proxy);
  return { name: target.name, address: target.address, failure, cause, via };
}

/** The one cause of all failures, "host" when there are several or none. */
export function commonCause(failures: readonly { readonly cause: FailureCause }[]): FailureCause {
  const first = failures[0]?.cause ?? "host";
  return failures.every((one) => one.cause === first) ? first : worse(failures);
}

/** Of several causes: what a proxy or source did must not be held against a host, so a host must have failed itself. */
function worse(failures: readonly { readonly cause: FailureCause }[]): FailureCause {
  return failures.some((one) => one.cause === "host" || one.cause === "unplumbed") ? "host" : "proxy";
}

/** What the scheduler is told when no address of a plan could be used. */
export function unreachableFlags(cause: FailureCause): number {
  switch (cause) {
    case "host":
      return OutcomeFlag.connectFailed;
    case "unplumbed":
      return OutcomeFlag.connectFailed | OutcomeFlag.unplumbed;
    case "proxy":
      return OutcomeFlag.proxyFailed;
    case "proxy-unplumbed":
      return OutcomeFlag.proxyUnplumbed;
    case "proxy-destination":
      return OutcomeFlag.proxyDestination;
    default:
      return unreachable(cause);
  }
}

/** `haproxy 192.0.2.1:8025`, as texts and records name a proxy. */
export function proxyName(proxy: ProxyConfig): string {
  return `${proxy.protocol} ${serverName(proxy)}`;
}

/** Where a proxy listens, as configured. */
export function serverName({ server: { host, port } }: ProxyConfig): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
