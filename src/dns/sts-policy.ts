import { domainToASCII } from "node:url";
import { canonicalName } from "./lookup.js";

/** MTA-STS (RFC 8461): reading records and policies, and comparing hosts with them. Nothing here asks anybody. */

/** A domain's policy. */
export interface StsPolicy {
  readonly mode: "enforce" | "testing" | "none";
  readonly maxAgeMs: number;
  /** Names of hosts, in lower case; `*.x` stands for one label and `x`. */
  readonly mx: readonly string[];
}

/** A policy as read, or what is wrong with it. */
export type ReadPolicy =
  | { readonly kind: "policy"; readonly policy: StsPolicy }
  | { readonly kind: "invalid"; readonly reason: string };

/** Most bytes of a policy that are read. */
export const MAX_POLICY_BYTES = 65_536;
/** A year, as RFC 8461 §3.2 has it, in seconds. */
const MAX_AGE_SECONDS = 31_557_600;
/** Most patterns of one policy: as many hosts as a route may have, and then some. */
const MAX_PATTERNS = 200;

/**
 * The `id` of the one record that begins with `v=STSv1;` (RFC 8461 §3.1). Null when there is none, when there are several,
 * and when it is malformed: then the domain says nothing, and a policy that is known stays in force.
 */
export function stsId(texts: readonly string[]): string | null {
  const records = texts.filter((text) => /^v=STSv1[ \t]*;/.test(text));
  if (records.length !== 1) return null;
  const fields = (records[0] ?? "").split(";").slice(1);
  // A semicolon may end the record.
  if (fields.at(-1)?.trim() === "") fields.pop();
  let id: string | null = null;
  for (const field of fields) {
    const parts = /^[ \t]*([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=([!-:<>-~]+)[ \t]*$/.exec(field);
    if (parts === null) return null;
    if (parts[1] === "id" && id === null) id = parts[2] ?? "";
  }
  return id !== null && /^[A-Za-z0-9]{1,32}$/.test(id) ? id : null;
}

/** Reads a policy (RFC 8461 §3.2): lines end with LF or CRLF, unknown keys mean nothing, of repeated ones the first counts. */
export function parseStsPolicy(text: string): ReadPolicy {
  const first = new Map<string, string>();
  const mx: string[] = [];
  for (const line of text.split(/\r?\n/)) {
    if (line.trim() === "") continue;
    const parts = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,31})[ \t]*:[ \t]*(.*?)[ \t]*$/.exec(line);
    if (parts === null) return invalid(`a line is not of the form "key: value"`);
    const [, key = "", value = ""] = parts;
    if (key === "mx") {
      const pattern = readPattern(value);
      if (pattern === null) return invalid(`${shown(value)} is no host pattern`);
      if (mx.length >= MAX_PATTERNS) return invalid(`more than ${MAX_PATTERNS} host patterns`);
      mx.push(pattern);
    } else if (!first.has(key)) first.set(key, value);
  }
  if (first.get("version") !== "STSv1") return invalid("no version STSv1");
  const mode = first.get("mode");
  if (mode !== "enforce" && mode !== "testing" && mode !== "none") return invalid("no known mode");
  const age = first.get("max_age") ?? "";
  if (!/^\d{1,10}$/.test(age) || Number(age) > MAX_AGE_SECONDS) return invalid("no max_age up to a year");
  if (mx.length === 0 && mode !== "none") return invalid("no host pattern");
  return { kind: "policy", policy: { mode, maxAgeMs: Number(age) * 1000, mx } };
}

function invalid(reason: string): ReadPolicy {
  return { kind: "invalid", reason };
}

function shown(value: string): string {
  return JSON.stringify(value.slice(0, 80));
}

/** A host's name, or `*.` and a name. */
function readPattern(written: string): string | null {
  const wildcard = written.startsWith("*.");
  const name = wildcard ? written.slice(2) : written;
  const ascii = canonicalName(/^[\x00-\x7f]*$/.test(name) ? name : domainToASCII(name));
  if (ascii === null || !/^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/.test(ascii)) return null;
  return wildcard ? `*.${ascii}` : ascii;
}

/** Whether a host of the domain's MX records is one of the policy's (RFC 8461 §4.1): a wildcard is exactly one label. */
export function matchesPolicy(policy: StsPolicy, host: string): boolean {
  const name = canonicalName(host);
  if (name === null) return false;
  const dot = name.indexOf(".");
  const parent = dot < 0 ? null : `*${name.slice(dot)}`;
  return policy.mx.some((pattern) => pattern === name || pattern === parent);
}
