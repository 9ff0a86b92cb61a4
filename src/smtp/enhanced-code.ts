import type { EnhancedCode } from "../protocol/records.js";

/** Enhanced status codes, RFC 3463 §2 (syntax) and RFC 2034 §4 (their place in a reply). */
const CODE = /^([245])\.(\d{1,3})\.(\d{1,3})(?: +|$)/;

/**
 * Parts an enhanced code from the text behind it. Null when the text does not begin with one, or when its class is not
 * that of the reply's `code`: then it is ignored and stays text (RFC 2034 §4).
 * @param text a reply's line without the three digits and their separator.
 * @param code the reply's code, three digits.
 */
export function splitEnhancedCode(
  text: string,
  code: number,
): { readonly enhanced: EnhancedCode; readonly rest: string } | null {
  // The second character tells nearly every line without a code apart, for less than the pattern costs.
  if (text.charCodeAt(1) !== 0x2e) return null;
  const match = CODE.exec(text);
  if (match === null || Number(match[1]) !== Math.floor(code / 100)) return null;
  return {
    enhanced: [Number(match[1]), Number(match[2]), Number(match[3])],
    rest: text.slice(match[0].length),
  };
}

/** Prints an enhanced code: `5.1.1`. */
export function formatEnhancedCode(enhanced: EnhancedCode): string {
  return `${enhanced[0]}.${enhanced[1]}.${enhanced[2]}`;
}

/** Whether two enhanced codes are the same; null equals null only. */
export function sameEnhancedCode(a: EnhancedCode | null, b: EnhancedCode | null): boolean {
  if (a === null || b === null) return a === b;
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2];
}
