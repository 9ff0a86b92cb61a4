import { domainToASCII } from "node:url";

/** Longest domain in octets (RFC 5321 §4.5.3.1.2). */
export const MAX_DOMAIN_OCTETS = 255;
/** Longest label in octets (RFC 1035 §2.3.4). */
export const MAX_LABEL_OCTETS = 63;

const HYPHEN = 0x2d;
const DOT = 0x2e;
const UNDERSCORE = 0x5f;

function isDigit(char: number): boolean {
  return char >= 0x30 && char <= 0x39;
}

function isLetter(char: number): boolean {
  const lower = char | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}

/**
 * The one form under which a domain is routed, queued and logged: lower case, A-labels (RFC 5890 §2.3.2.1). Null when the
 * text is no domain.
 *
 * Labels are letters, digits, hyphens (not first, not last) and, because such names are in use, underscores. A domain whose
 * last label is a number is refused: it is an address without its brackets, and would be looked up by some and dialled by
 * others. A final dot is refused (RFC 5321 §2.3.5 has none), so that one domain has one queue. A single label is allowed.
 */
export function canonicalDomain(text: string): string | null {
  const plain = plainDomain(text);
  if (plain !== 0) return plain < 0 ? null : plain === 1 ? text : text.toLowerCase();
  // Beyond ASCII: the mapping of UTS 46, as a browser has it. It must not see what a URL gives a meaning to ("/", ":", "%").
  if (text.length > MAX_DOMAIN_OCTETS || /[^\w.\u0080-\uffff-]/.test(text)) return null;
  const ascii = domainToASCII(text);
  // The mapping turns fullwidth digits into digits and whole numbers into addresses, so the result is judged again.
  return plainDomain(ascii) === 1 ? ascii : null;
}

/** 1: an ASCII domain in lower case; 2: one with capitals; 0: has characters beyond ASCII; -1: not a domain. */
function plainDomain(text: string): -1 | 0 | 1 | 2 {
  const length = text.length;
  if (length === 0 || length > MAX_DOMAIN_OCTETS) return -1;
  let labelStart = 0;
  let capitals = false;
  let numeric = true;
  let wrong = false;
  for (let i = 0; i < length; i++) {
    const char = text.charCodeAt(i);
    if (char >= 0x61 && char <= 0x7a) {
      numeric = false;
    } else if (char === DOT) {
      if (i === labelStart || i - labelStart > MAX_LABEL_OCTETS || text.charCodeAt(i - 1) === HYPHEN) wrong = true;
      labelStart = i + 1;
      numeric = true;
    } else if (isDigit(char)) {
      // Alone they leave the label a number.
    } else if (char === HYPHEN) {
      if (i === labelStart) wrong = true;
      numeric = false;
    } else if (char === UNDERSCORE) {
      numeric = false;
    } else if (isLetter(char)) {
      capitals = true;
      numeric = false;
    } else if (char >= 0x80) {
      return 0;
    } else {
      wrong = true;
    }
  }
  const last = length - labelStart;
  if (wrong || numeric || last === 0 || last > MAX_LABEL_OCTETS || text.charCodeAt(length - 1) === HYPHEN) return -1;
  return capitals ? 2 : 1;
}

/**
 * An address literal (RFC 5321 §4.1.3) in its one form, `[192.0.2.1]` or `[IPv6:2001:db8::1]` in lower case behind the
 * tag, or null. `text` has its brackets. The general form with another tag is refused: no tag is registered.
 */
export function canonicalLiteral(text: string): string | null {
  const end = text.length - 1;
  if (end < 2 || end > 60 || text[0] !== "[" || text[end] !== "]") return null;
  const inner = text.slice(1, end);
  if (/^ipv6:/i.test(inner)) {
    const address = inner.slice(5).toLowerCase();
    return isIpv6(address) ? `[IPv6:${address}]` : null;
  }
  return isIpv4(inner) ? text : null;
}

/** Four decimal numbers of 0–255 without leading zeros. */
export function isIpv4(text: string): boolean {
  const parts = text.split(".", 5);
  return parts.length === 4 && parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
}

/** RFC 4291 §2.2, all three forms; no zone. */
export function isIpv6(text: string): boolean {
  if (text.length < 2 || text.length > 45 || !/^[0-9a-f:.]+$/i.test(text)) return false;
  const halves = text.split("::", 3);
  if (halves.length > 2) return false;
  let groups = 0;
  for (let half = 0; half < halves.length; half++) {
    const written = halves[half] as string;
    if (written === "") {
      if (halves.length === 1) return false;
      continue;
    }
    const parts = written.split(":");
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i] as string;
      const isLast = i === parts.length - 1 && half === halves.length - 1;
      if (isLast && part.includes(".")) {
        if (!isIpv4(part)) return false;
        groups += 2;
      } else {
        if (!/^[0-9a-f]{1,4}$/i.test(part)) return false;
        groups++;
      }
    }
  }
  return halves.length === 2 ? groups < 8 : groups === 8;
}
