import type { TlsMode } from "../../../config/compiled.js";
import type { DaneState, StsState } from "../../../protocol/tls-policy.js";

/**
 * What is demanded of one address before it gets mail: the setting, what the domain's policies say, and what is remembered,
 * as one decision. Pure; its table is `test/worker/egress/tls/tls-demand.test.ts`.
 */

/** What the decision is made of. */
export interface TlsQuestion {
  readonly mode: TlsMode;
  /** TLS with this host failed lately. */
  readonly broken: boolean;
  /** The same address has just failed at TLS, and is tried again in clear. */
  readonly clear: boolean;
  readonly sts: StsState;
  readonly dane: DaneState["kind"];
  /** `opportunistic_tls_reconnect_on_failed_handshake`. */
  readonly reconnect: boolean;
}

/** How TLS is used with one address. */
export interface TlsDemand {
  readonly startTls: "never" | "offered" | "required";
  /** What the server must prove: nothing, its name by an authority, or what its TLSA records say. */
  readonly verify: "none" | "name" | "dane";
  /** A server that refuses STARTTLS is served in clear on the same connection. */
  readonly clearWhenRefused: boolean;
  /** When TLS fails the same address is tried again in clear, and the failure may be remembered. */
  readonly whenFailed: "fail" | "remember" | "clear";
}

/** The decision. A host whose DANE look-up failed must not be asked about: it is not used now. */
export function tlsDemand({ mode, broken, clear, sts, dane, reconnect }: TlsQuestion): TlsDemand {
  // RFC 7672 §2.2: DANE comes before MTA-STS (RFC 8461 §2); records that cannot be used still demand TLS.
  if (dane === "usable") return required("dane");
  if (sts === "enforce") return required("name");
  if (dane === "unusable") return required(mode === "Required" ? "name" : "none");
  switch (sts === "testing" ? inTesting(mode) : mode) {
    case "Disabled":
      return IN_CLEAR;
    case "Opportunistic":
      if (broken || clear) return IN_CLEAR;
      return opportunistic("name", reconnect);
    case "OpportunisticInsecure":
      if (broken || clear) return IN_CLEAR;
      return opportunistic("none", true);
    case "Required":
      return required("name");
    case "RequiredInsecure":
      return required("none");
  }
}

/** A policy in testing raises what would be less, so that TLS is seen to work or not; it lowers no operator's demand. */
function inTesting(mode: TlsMode): TlsMode {
  return mode === "Required" || mode === "RequiredInsecure" ? mode : "OpportunisticInsecure";
}

const IN_CLEAR: TlsDemand = { startTls: "never", verify: "none", clearWhenRefused: false, whenFailed: "fail" };

function required(verify: TlsDemand["verify"]): TlsDemand {
  return { startTls: "required", verify, clearWhenRefused: false, whenFailed: "fail" };
}

function opportunistic(verify: "none" | "name", clear: boolean): TlsDemand {
  return {
    startTls: "offered",
    verify,
    clearWhenRefused: verify === "none",
    whenFailed: clear ? "clear" : "remember",
  };
}
