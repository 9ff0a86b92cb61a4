import type { DaneState } from "../protocol/tls-policy.js";
import type { Addresses } from "./addresses.js";
import type { Lookup } from "./lookup.js";
import type { Lookups } from "./mx.js";
import { daneOf } from "./tlsa.js";

/**
 * Finds out what DANE says of one mail host (RFC 7672 §2.2), whose name came from a secure set of MX records. `addresses`
 * is what its name resolved to; null when the operator wrote its address. Never rejects.
 *
 *     address secure, no alias        TLSA at the host's name
 *     secure alias, address secure    TLSA at the end of the aliases; when it has none, at the host's name
 *     secure alias, address insecure  TLSA at the host's name
 *     otherwise                       nothing is asked: the zone is not signed
 *
 * The first of the `names` is where the records were found: it is also the name for SNI (RFC 7672 §8.1).
 */
export async function daneState(
  lookups: Lookups,
  host: string,
  port: number,
  addresses: Extract<Addresses, { kind: "found" }> | null,
): Promise<DaneState> {
  if (addresses === null) return tlsaAt(lookups, host, port, [host]);
  const end = addresses.name;
  if (end === host) return addresses.secure ? tlsaAt(lookups, host, port, [host]) : { kind: "none" };
  if (!addresses.secure) {
    const first = await lookups.lookup(host, "CNAME");
    return aliasSecure(first) ?? tlsaAt(lookups, host, port, [host]);
  }
  const atEnd = await tlsaAt(lookups, end, port, [end, host]);
  return atEnd.kind === "none" ? tlsaAt(lookups, host, port, [host]) : atEnd;
}

/** Null when the first alias is signed, and the host's own name may have TLSA records; else the answer. */
function aliasSecure(answer: Lookup): DaneState | null {
  if (answer.kind === "failed") return { kind: "failed", reason: `CNAME: ${answer.reason}` };
  return answer.kind === "found" && answer.authentic ? null : { kind: "none" };
}

async function tlsaAt(lookups: Lookups, base: string, port: number, names: readonly string[]): Promise<DaneState> {
  return daneOf(await lookups.lookup(`_${port}._tcp.${base}`, "TLSA"), names);
}
