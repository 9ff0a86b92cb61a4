import { isIP, isIPv4, isIPv6 } from "node:net";
import type { IpLookupStrategy } from "../config/compiled.js";
import type { Lookup } from "./lookup.js";
import type { Lookups } from "./mx.js";

/** Most addresses of one host that are used, per family. */
export const MAX_ADDRESSES = 32;

/** The addresses of a host. `none`: it is certain that there are none. `failed`: it could not be found out now. */
export type Addresses =
  | {
      readonly kind: "found";
      readonly addresses: readonly string[];
      readonly ttlMs: number;
      /** Every answer that it came from is authentic, aliases included. */
      readonly secure: boolean;
      /** The name at the end of the aliases; the host's own without any. */
      readonly name: string;
    }
  | { readonly kind: "none"; readonly ttlMs: number }
  | { readonly kind: "failed"; readonly reason: string; readonly ttlMs: number };

/**
 * Looks up the addresses of a host as `strategy` says: both families (`Ipv4AndIpv6`), one, or the second only where the
 * first has none (`Ipv6ThenIpv4`, `Ipv4ThenIpv6`). When one of two families fails, the other's addresses are used. An
 * address instead of a name is its own answer. Never rejects.
 */
export async function hostAddresses(lookups: Lookups, host: string, strategy: IpLookupStrategy): Promise<Addresses> {
  if (isIP(host) !== 0) {
    return { kind: "found", addresses: [host], ttlMs: Number.POSITIVE_INFINITY, secure: false, name: host };
  }
  const ask = async (type: "A" | "AAAA") => readAddresses(await lookups.lookup(host, type), type);
  switch (strategy) {
    case "Ipv4Only":
      return ask("A");
    case "Ipv6Only":
      return ask("AAAA");
    case "Ipv4AndIpv6": {
      const [v4, v6] = await Promise.all([ask("A"), ask("AAAA")]);
      return together(v4, v6);
    }
    case "Ipv4ThenIpv6": {
      const v4 = await ask("A");
      return v4.kind === "found" ? v4 : together(v4, await ask("AAAA"));
    }
    case "Ipv6ThenIpv4": {
      const v6 = await ask("AAAA");
      return v6.kind === "found" ? v6 : together(v6, await ask("A"));
    }
  }
}

function readAddresses(lookup: Lookup, type: "A" | "AAAA"): Addresses {
  switch (lookup.kind) {
    case "found": {
      const isOfType = type === "A" ? isIPv4 : isIPv6;
      const addresses = [...new Set(lookup.records.map((record) => record.value))].filter(isOfType);
      const { ttlMs } = lookup;
      return addresses.length === 0
        ? { kind: "none", ttlMs }
        : {
            kind: "found",
            addresses: addresses.slice(0, MAX_ADDRESSES),
            ttlMs,
            secure: lookup.authentic,
            name: lookup.records[0]?.name ?? "",
          };
    }
    case "nxdomain":
    case "nodata":
      return { kind: "none", ttlMs: lookup.ttlMs };
    case "failed":
      return { kind: "failed", reason: lookup.reason, ttlMs: lookup.ttlMs };
  }
}

/** Two families as one answer: what was found, else what failed, else that there is nothing. */
function together(first: Addresses, second: Addresses): Addresses {
  const ttlMs = Math.min(first.ttlMs, second.ttlMs);
  if (first.kind === "found" && second.kind === "found") {
    // One chain of aliases leads to both; where two answers differ, neither is believed to be signed.
    const secure = first.secure && second.secure && first.name === second.name;
    const { name } = first;
    return { kind: "found", addresses: [...first.addresses, ...second.addresses], ttlMs, secure, name };
  }
  const best =
    [first, second].find((one) => one.kind === "found") ?? [first, second].find((one) => one.kind === "failed");
  return { ...(best ?? first), ttlMs };
}
