/** The ending of a segment that is being written or was just finished. */
export const PLAIN_SUFFIX = ".jsonl";
/** What is added to it by compression; both kinds are read, whichever this node writes. */
export const COMPRESSED_SUFFIXES = [".zst", ".gz"] as const;

const NAME = /^([0-9]{8}-[0-9]{6}\.[0-9]{9})\.jsonl(\.gz|\.zst)?$/;

/** The name of a segment, taken apart. */
export interface SegmentName {
  /** UTC time of opening, `YYYYMMDD-HHMMSS.nnnnnnnnn`: orders like time. */
  readonly stamp: string;
  readonly compression: "none" | "gzip" | "zstd";
}

/** The stamp of a segment opened at `wallMs` (true wall clock) that comes after all of `after` ("" for none). */
export function segmentStamp(wallMs: number, after: string): string {
  const iso = new Date(wallMs).toISOString();
  const day = iso.slice(0, 10).replaceAll("-", "");
  const time = iso.slice(11, 19).replaceAll(":", "");
  const stamp = `${day}-${time}.${iso.slice(20, 23)}000000`;
  if (stamp > after) return stamp;
  // The clock stepped back, or two segments in one millisecond: one nanosecond after the last, which still orders.
  const nanos = Number.parseInt(after.slice(16), 10) + 1;
  return after.slice(0, 16) + String(nanos).padStart(9, "0");
}

/** Takes a file's name apart; null when it is no segment. */
export function parseSegmentName(name: string): SegmentName | null {
  const match = NAME.exec(name);
  if (match === null) return null;
  const compression = match[2] === ".gz" ? "gzip" : match[2] === ".zst" ? "zstd" : "none";
  return { stamp: match[1]!, compression };
}
