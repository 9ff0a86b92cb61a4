/** A TLSA record (RFC 6698 §2.1). */
export interface TlsaRecord {
  readonly usage: number;
  readonly selector: number;
  readonly matching: number;
  readonly data: Uint8Array;
}

/** What DANE (RFC 7672 §2) says of one host. */
export type DaneState =
  /** Not asked, not signed, or no TLSA records: the configured TLS mode holds. */
  | { readonly kind: "none" }
  /** TLS is demanded, and one of these must match; `names` are the reference identifiers for usage 2. */
  | { readonly kind: "usable"; readonly records: readonly TlsaRecord[]; readonly names: readonly string[] }
  /** There are records, none of which can be used: TLS is demanded, unauthenticated (RFC 7672 §2.2). */
  | { readonly kind: "unusable" }
  /** The look-up failed (SERVFAIL, bogus, timeout): the host must not be used now. */
  | { readonly kind: "failed"; readonly reason: string };

/** What a domain's MTA-STS policy (RFC 8461) demands of all of its hosts. */
export type StsState = "none" | "testing" | "enforce";

/** How an attempt at TLS ended, in the words of RFC 8460 §4.3. */
export type TlsResult =
  | "success"
  | "starttls-not-supported"
  | "certificate-host-mismatch"
  | "certificate-expired"
  | "certificate-not-trusted"
  | "validation-failure"
  | "tlsa-invalid"
  | "dnssec-invalid"
  | "dane-required"
  | "sts-policy-fetch-error"
  | "sts-policy-invalid"
  | "sts-webpki-invalid";

/** One session's TLS, or one failure of a policy, for the reports that domains ask for (RFC 8460). */
export interface TlsOutcome {
  /** The policy domain: that of the recipients, not the host's. */
  readonly domain: string;
  readonly policy: "tlsa" | "sts" | "no-policy-found";
  readonly result: TlsResult;
  /** The host of the MX record; "" when it did not come so far. */
  readonly mxHost: string;
  readonly sendingIp: string | null;
  readonly receivingIp: string | null;
  /** What went wrong, in a few words; "" on success. */
  readonly detail: string;
}

/** An outcome that happened so many times. */
export interface TlsCount extends TlsOutcome {
  readonly count: number;
}
