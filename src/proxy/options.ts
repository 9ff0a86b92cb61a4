import type { ListenAddress } from "../config/compiled.js";
import type { AuthRule } from "../handshake/socks-server.js";

/** Certificate chain and key of a proxy that its clients talk TLS to, PEM. */
export interface ProxyTls {
  readonly cert: string;
  readonly key: string;
}

/** How a proxy runs. Networks are CIDR. */
export interface ProxyOptions {
  readonly listen: ListenAddress;
  readonly tls: ProxyTls | null;
  readonly auth: AuthRule;
  /** Passwords by user name. */
  readonly users: ReadonlyMap<string, string>;
  /** Who may use the proxy at all. */
  readonly clients: readonly string[];
  /** Addresses that BIND may ask for; empty for every one that this machine has. */
  readonly sources: readonly string[];
  /** Where may be connected to; empty for everywhere. */
  readonly destinations: readonly string[];
  /** Ports that may be connected to; empty for all. */
  readonly ports: readonly number[];
  readonly maxConnections: number;
  readonly maxPerClient: number;
  /** How long each step of a handshake may take. */
  readonly timeoutMs: number;
}
