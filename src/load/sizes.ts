import { parseSize } from "../base/units.js";
import { MIXED_SIZES, type SizeShare } from "./options.js";

const LARGEST = 1024 ** 3;

/**
 * Sizes of messages as people write them: `1024`, `10KiB`, `1MB`, or `mixed` for {@link MIXED_SIZES}. Here, as in other
 * load generators, `k` is 1024 and `m` its square. Null for what is none.
 */
export function sizesOf(text: string): readonly SizeShare[] | null {
  if (text === "mixed") return MIXED_SIZES;
  const short = /^(\d+)([km])$/i.exec(text);
  const unit = short?.[2]?.toLowerCase() === "m" ? 1024 * 1024 : 1024;
  const bytes = short === null ? parseSize(/^\d+$/.test(text) ? Number(text) : text) : Number(short[1]) * unit;
  return bytes === null || bytes < 1 || bytes > LARGEST ? null : [{ bytes, weight: 1 }];
}
