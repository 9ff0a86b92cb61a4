import type { DaneState, TlsaRecord } from "../protocol/tls-policy.js";
import type { Lookup } from "./lookup.js";

/** What TLSA records mean for mail (RFC 7672 §3): a table without input or output. */

/** Most records of one host that are used. */
export const MAX_TLSA = 32;
/** Length of a digest by matching type (RFC 6698 §7.4): SHA2-256 and SHA2-512. */
const DIGEST_BYTES: ReadonlyMap<number, number> = new Map([
  [1, 32],
  [2, 64],
]);

/** What the answer to a TLSA question, which has been validated, means. `names` are for usage 2. */
export function daneOf(answer: Lookup, names: readonly string[]): DaneState {
  switch (answer.kind) {
    case "failed":
      // Not knowing is not the same as knowing that there are none: an attacker can make questions fail.
      return { kind: "failed", reason: `TLSA: ${answer.reason}` };
    case "nxdomain":
    case "nodata":
      return { kind: "none" };
    case "found": {
      // RFC 7672 §2.2: records that nobody vouches for mean as much as none.
      if (!answer.authentic) return { kind: "none" };
      const read = answer.records.map((record) => readTlsa(record.value));
      const records = strongest(read.filter((record) => record !== null && usable(record)).flatMap((one) => one ?? []));
      return records.length === 0
        ? { kind: "unusable" }
        : { kind: "usable", records: records.slice(0, MAX_TLSA), names };
    }
  }
}

/** A record from its text; null when it is malformed. */
export function readTlsa(text: string): TlsaRecord | null {
  const parts = /^(\d{1,3}) (\d{1,3}) (\d{1,3}) ((?:[0-9a-f]{2})+)$/.exec(text);
  if (parts === null) return null;
  const [, usage, selector, matching, digits = ""] = parts;
  return {
    usage: Number(usage),
    selector: Number(selector),
    matching: Number(matching),
    data: Buffer.from(digits, "hex"),
  };
}

/**
 * Usages 2 (DANE-TA) and 3 (DANE-EE) only: 0 and 1 want the public authorities, of which mail hosts know nothing (RFC 7672
 * §3.1.3). Selectors and matching types that exist, and digests of their right length.
 */
export function usable(record: TlsaRecord): boolean {
  const { usage, selector, matching, data } = record;
  if (usage !== 2 && usage !== 3) return false;
  if (selector !== 0 && selector !== 1) return false;
  return matching === 0 ? data.length > 0 : DIGEST_BYTES.get(matching) === data.length;
}

/** Of two digests for one usage and selector the stronger kind counts alone (RFC 7671 §9). */
function strongest(records: readonly TlsaRecord[]): TlsaRecord[] {
  return records.filter((one) => one.matching !== 1 || !records.some((other) => strongerThan(other, one)));
}

function strongerThan(other: TlsaRecord, one: TlsaRecord): boolean {
  return other.matching === 2 && other.usage === one.usage && other.selector === one.selector;
}
