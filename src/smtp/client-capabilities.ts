/** What a server offered in its answer to EHLO (RFC 5321 §4.1.1.1). Nothing of it outlives the next EHLO. */
export interface Capabilities {
  /** RFC 2920. */
  readonly pipelining: boolean;
  /** RFC 3030: BDAT is understood. */
  readonly chunking: boolean;
  /** RFC 1870: SIZE was offered. */
  readonly size: boolean;
  /** Largest content in bytes; 0 for no limit, or for one that was not said or not understood. */
  readonly maxSize: number;
  /** RFC 6152. */
  readonly eightBitMime: boolean;
  /** RFC 6531. */
  readonly smtpUtf8: boolean;
  /** Every keyword, upper case, with its parameters as written, for extensions that are asked about rarely. */
  readonly keywords: ReadonlyMap<string, string>;
}

/** Of a server that was greeted with HELO. */
export const NO_CAPABILITIES: Capabilities = {
  pipelining: false,
  chunking: false,
  size: false,
  maxSize: 0,
  eightBitMime: false,
  smtpUtf8: false,
  keywords: new Map(),
};

/**
 * Reads the lines of the answer to EHLO. The first is the server's name and a greeting. A line that is no keyword is
 * passed over: what it would have offered is then not used. Of a keyword that comes twice the first counts.
 * @param lines texts without the codes.
 */
export function parseCapabilities(lines: readonly string[]): Capabilities {
  const keywords = new Map<string, string>();
  for (let i = 1; i < lines.length; i++) {
    const match = /^([A-Za-z0-9][A-Za-z0-9-]*)(?:[ =](.*))?$/.exec(lines[i].trimEnd());
    if (match === null) continue;
    const keyword = match[1].toUpperCase();
    if (!keywords.has(keyword)) keywords.set(keyword, (match[2] ?? "").trim());
  }
  return {
    pipelining: keywords.has("PIPELINING"),
    chunking: keywords.has("CHUNKING"),
    size: keywords.has("SIZE"),
    maxSize: sizeLimit(keywords.get("SIZE") ?? ""),
    eightBitMime: keywords.has("8BITMIME"),
    smtpUtf8: keywords.has("SMTPUTF8"),
    keywords,
  };
}

/** RFC 1870 §3: up to 20 digits, 0 for no fixed limit. A number beyond what we could hold limits nothing. */
function sizeLimit(text: string): number {
  if (!/^\d{1,20}$/.test(text)) return 0;
  const limit = Number(text);
  return Number.isSafeInteger(limit) ? limit : 0;
}
