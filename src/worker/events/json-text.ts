/** What cannot stand in a JSON string as it is: quote, backslash, controls; and surrogates, which may be lone. */
const UNSAFE = /["\\\u0000-\u001f\ud800-\udfff]/;
/** With the `u` flag a surrogate matches only where it has no partner. */
const LONE_SURROGATE = /\p{Surrogate}/gu;
/** What `JSON.stringify` makes of a lone surrogate, behind an even number of backslashes. */
const ESCAPED_SURROGATE = /(?<=(?<!\\)(?:\\\\)*)\\ud[89a-f][0-9a-f]{2}/g;

/** The text with every half of a surrogate pair replaced by U+FFFD, as it will be once it is UTF-8. */
export function wellFormed(text: string): string {
  return text.replace(LONE_SURROGATE, "\ufffd");
}

/**
 * A JSON string, quotes included, that is one line and valid for any reader; lone surrogates become U+FFFD. Most texts in
 * a log need no escape and are only looked over (bench/micro/log-line.ts).
 */
export function jsonText(text: string): string {
  return UNSAFE.test(text) ? JSON.stringify(wellFormed(text)) : `"${text}"`;
}

/** A JSON string, or `null`. */
export function jsonTextOrNull(text: string | null): string {
  return text === null ? "null" : jsonText(text);
}

/** A plain object as one line of JSON, lone surrogates in names and values replaced by U+FFFD. */
export function jsonObject(value: object): string {
  const text = JSON.stringify(value);
  return text.includes("\\ud") ? text.replace(ESCAPED_SURROGATE, "\ufffd") : text;
}
