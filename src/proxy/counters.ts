import type { HandshakeEnd } from "../handshake/socks-server.js";

/** Why a connection did not become a relay, or why one did not end in order. */
export type FailureKind = HandshakeEnd | "client" | "limit" | "timeout" | "tls" | "gone" | "relay";

/** What a proxy counts. */
export class ProxyCounters {
  accepted = 0;
  completed = 0;
  outbound = 0;
  tlsFailures = 0;
  clientToDestination = 0;
  destinationToClient = 0;
  readonly failed = new Map<FailureKind, number>();

  fail(kind: FailureKind): void {
    this.failed.set(kind, (this.failed.get(kind) ?? 0) + 1);
  }

  get failures(): number {
    return [...this.failed.values()].reduce((sum, count) => sum + count, 0);
  }
}

/** The counters at one moment, as `/proxy/status` and the end of the command show them. */
export interface ProxyStatus {
  readonly accepted: number;
  readonly active: number;
  readonly relaying: number;
  readonly completed: number;
  readonly failed: Readonly<Record<string, number>>;
  readonly outbound: number;
  readonly tlsFailures: number;
  readonly bytesClientToDestination: number;
  readonly bytesDestinationToClient: number;
}
