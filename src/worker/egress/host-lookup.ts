import type { IpLookupStrategy } from "../../config/compiled.js";
import type { DaneState } from "../../protocol/tls-policy.js";
import type { EgressPath } from "./path.js";
import { portOf, type ResolvedHost } from "./plan.js";

/** Finds out about hosts; `done` is called exactly once. */
export interface HostNames {
  /** Addresses, empty lists when there are none; with `danePort` also what DANE says of the host. */
  resolve(
    host: string,
    strategy: IpLookupStrategy,
    danePort: number | null,
    done: (v4: readonly string[], v6: readonly string[], dane: DaneState) => void,
  ): void;
  /** What DANE says of a host whose address is known. */
  dane(host: string, port: number, done: (dane: DaneState) => void): void;
}

const NO_DANE: DaneState = { kind: "none" };

/**
 * Finds out about the hosts of a path, all at once; `done` is called with them in the path's order when the last answer is
 * here. TLSA records are asked for where the set of hosts is secure and the path wants them; not for a unix socket, nor
 * for an address that has no name.
 */
export function lookUpHosts(path: EgressPath, names: HostNames, done: (hosts: readonly ResolvedHost[]) => void): void {
  const found: ResolvedHost[] = [];
  let open = path.hosts.length;
  if (open === 0) done(found);
  for (const [index, host] of path.hosts.entries()) {
    const note = (v4: readonly string[], v6: readonly string[], dane: DaneState): void => {
      found[index] = { host, v4, v6, dane };
      if (--open === 0) done(found);
    };
    const danePort = path.dane ? portOf(host, path.rules) : null;
    if (host.unix !== null) note([], [], NO_DANE);
    else if (host.address === null) names.resolve(host.name, path.config.ipLookupStrategy, danePort, note);
    else if (danePort === null || host.name === host.address) note([], [], NO_DANE);
    else names.dane(host.name, danePort, (dane) => note([], [], dane));
  }
}
