import { InvalidArgumentError, Option } from "commander";
import { parseDuration } from "../base/units.js";
import type { ListenAddress } from "../config/compiled.js";
import { nearest } from "../config/nearest.js";
import { isAddress, isHostName } from "../config/text-kinds.js";
import type { SizeShare } from "../load/options.js";
import { sizesOf } from "../load/sizes.js";
import { RECORD_KINDS, type RecordKind } from "../protocol/records.js";

// Readers of command-line values: each throws commander's `InvalidArgumentError` with what was expected.

/** An option whose value is read by `parse`, with a default that help prints as `shown`. */
export function optionWithDefault<T>(
  flags: string,
  description: string,
  parse: (text: string) => T,
  value: T,
  shown: string,
): Option {
  return new Option(flags, description).argParser(parse).default(value, shown);
}

/** An address and a port; a bare port means this machine alone (127.0.0.1). Port 0 lets the system choose. */
export function listenArgument(text: string): ListenAddress {
  const address = addressArgument(/^\d+$/.test(text) ? `127.0.0.1:${text}` : text);
  if (!isAddress(address.host)) throw new InvalidArgumentError("Expected an IP address and a port, 127.0.0.1:2026.");
  return address;
}

/** A host name or an address, and a port from 1. */
export function targetArgument(text: string): ListenAddress {
  const address = addressArgument(text);
  if (address.port === 0) throw new InvalidArgumentError("Expected a port from 1 to 65535.");
  return address;
}

function addressArgument(text: string): ListenAddress {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3]);
  const good = match?.[1] === undefined ? isHostName(host) || isAddress(host) : host.includes(":") && isAddress(host);
  if (!good || !(port <= 65_535))
    throw new InvalidArgumentError("Expected HOST:PORT, as 127.0.0.1:2025 or [::1]:2025.");
  return { host, port };
}

/** A whole number in bounds. */
export function wholeArgument(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text.replace(/[_,]/g, ""));
    if (text === "" || !Number.isInteger(value) || value < low || value > high) {
      throw new InvalidArgumentError(`Expected a whole number from ${low} to ${high}.`);
    }
    return value;
  };
}

/** Whole numbers in bounds, by comma, with ranges: `1,2,4-8`; each once, rising. */
export function wholeListArgument(low: number, high: number): (text: string) => readonly number[] {
  const read = wholeArgument(low, high);
  return (text) => {
    const values = text.split(",").flatMap((part) => {
      const [first = "", last = first, ...more] = part.trim().split("-");
      const from = read(first);
      const to = read(last);
      if (more.length > 0 || to < from) throw new InvalidArgumentError("Expected numbers as 1,2,4 or 1-8.");
      return Array.from({ length: to - from + 1 }, (_, i) => from + i);
    });
    return [...new Set(values)].sort((a, b) => a - b);
  };
}

/** A number from 0 to 100, fractions allowed, `%` tolerated. */
export function percentArgument(text: string): number {
  const value = Number(/^(\d+(?:\.\d+)?)%?$/.exec(text)?.[1]);
  if (!(value >= 0 && value <= 100)) throw new InvalidArgumentError("Expected a number from 0 to 100.");
  return value;
}

/** A number above 0, fractions allowed. */
export function rateArgument(text: string): number {
  const value = Number(text.replace(/[_,]/g, ""));
  if (!(value > 0 && value <= 1e9)) throw new InvalidArgumentError("Expected a number of messages per second above 0.");
  return value;
}

/** A duration in ms from `30s`, `500ms`, `2m`; a bare number counts in `bareUnitMs`. */
export function durationArgument(bareUnitMs: number): (text: string) => number {
  return (text) => {
    const value = /^\d+(\.\d+)?$/.test(text) ? Math.round(Number(text) * bareUnitMs) : parseDuration(text);
    if (value === null || value > 7 * 86_400_000)
      throw new InvalidArgumentError("Expected a duration, as 500ms or 30s.");
    return value;
  };
}

/** A kind of log record, in any case, added to those that were named before it. */
export function recordKindArgument(text: string, before: readonly RecordKind[] = []): readonly RecordKind[] {
  const kind = RECORD_KINDS.find((known) => known.toLowerCase() === text.toLowerCase());
  if (kind !== undefined) return [...before, kind];
  throw new InvalidArgumentError(
    `No such type of record, nearest is ${nearest(text, RECORD_KINDS)}. Known: ${RECORD_KINDS.join(", ")}.`,
  );
}

/** An exponent of Zipf's law, 0 to 10, fractions allowed. */
export function zipfArgument(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : -1;
  if (!(value >= 0 && value <= 10)) throw new InvalidArgumentError("Expected a number from 0 to 10.");
  return value;
}

/** Sizes of messages: one for all, or the distribution `mixed`. */
export function sizesArgument(text: string): readonly SizeShare[] {
  const sizes = sizesOf(text);
  if (sizes !== null) return sizes;
  throw new InvalidArgumentError("Expected a size up to 1GiB, as 1k, 10KiB or 2000, or mixed.");
}
