import { parseIp, parseNetwork } from "../base/cidr.js";
import { isReservedName } from "./check.js";
import type { ListenAddress } from "./compiled.js";
import { type Kind, STRING_SCHEMA } from "./kinds.js";
import { quote } from "./problems.js";

/** A kind whose values are written as strings: `parse` answers null for a text that is none. */
export function stringKind<T>(
  name: string,
  expected: string,
  parse: (text: string) => T | null,
  print: (value: T) => string,
): Kind<T> {
  return {
    name,
    bounds: "",
    schema: STRING_SCHEMA,
    read(value, at, check) {
      const text = check.string(value, at, expected);
      if (text === undefined) return undefined;
      return parse(text) ?? check.wrong(at, text, expected);
    },
    print,
  };
}

/** Free text on one line: it may end up in SMTP replies, headers and logs, so control characters are refused. */
export function text({ max }: { max: number }): Kind<string> {
  return stringKind(
    "text",
    `a text of 1 to ${max} characters on one line`,
    (written) => (written.length >= 1 && written.length <= max && !/[\x00-\x1f\x7f]/.test(written) ? written : null),
    quote,
  );
}

/** A path of the file system; whoever compiles it makes it absolute. */
export function filePath(): Kind<string> {
  return stringKind(
    "path",
    "a path",
    (written) => (written.length >= 1 && written.length <= 4096 && !written.includes("\0") ? written : null),
    quote,
  );
}

const LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?";
const HOST_NAME = new RegExp(`^${LABEL}(?:\\.${LABEL})*\\.?$`);

/** True for a host name in letters, digits, `-` and `_`, with or without the final dot (RFC 1123 §2.1). */
export function isHostName(written: string): boolean {
  return written.length <= 254 && HOST_NAME.test(written) && parseIp(written) === null;
}

/** A host name, kept as written but for the final dot. */
export function hostName(): Kind<string> {
  return stringKind(
    "host name",
    'a host name, such as "mta1.example.com"',
    (written) => (isHostName(written) ? written.replace(/\.$/, "") : null),
    quote,
  );
}

/** A host name or an address literal in brackets, as EHLO takes it (RFC 5321 §4.1.3). */
export function ehloName(): Kind<string> {
  return stringKind(
    "host name",
    'a host name or a literal, such as "mta1.example.com" or "[192.0.2.1]"',
    (written) => {
      const literal = /^\[(?:IPv6:)?(.*)\]$/i.exec(written)?.[1];
      if (literal !== undefined) return isAddress(literal) ? written : null;
      return isHostName(written) ? written.replace(/\.$/, "") : null;
    },
    quote,
  );
}

/** True for an IPv4 or IPv6 address without a zone. */
export function isAddress(written: string): boolean {
  return !written.includes("%") && parseIp(written) !== null;
}

/** An IPv4 or IPv6 address. */
export function ipAddress(): Kind<string> {
  return stringKind(
    "IP address",
    'an IP address, such as "192.0.2.1"',
    (written) => (isAddress(written) ? written : null),
    quote,
  );
}

/** An IP address or a strict network: `127.0.0.0/8`, `::1`. */
export function network(): Kind<string> {
  return stringKind(
    "IP address or network",
    'an IP address or a network whose host bits are zero, such as "192.0.2.0/24" or "::1"',
    (written) => (parseNetwork(written) === null ? null : written),
    quote,
  );
}

/**
 * An IP address and a port, `127.0.0.1:25` or `[::1]:25`. With a `defaultPort` the port may be left out. `minPort` is 0
 * where the system may choose.
 */
export function socketAddress(options: { defaultPort: number | null; minPort: 0 | 1 }): Kind<ListenAddress> {
  const otherwise = options.defaultPort === null ? "" : ` (port ${options.defaultPort} when left out)`;
  return stringKind(
    "IP address and port",
    `an IP address and a port, such as "127.0.0.1:2025" or "[::1]:2025"${otherwise}`,
    (written) => parseSocketAddress(written, options.defaultPort, options.minPort),
    (value) => quote(formatSocketAddress(value)),
  );
}

function parseSocketAddress(written: string, defaultPort: number | null, minPort: number): ListenAddress | null {
  if (defaultPort !== null && isAddress(written)) return { host: written, port: defaultPort };
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(written);
  const host = match?.[1] ?? match?.[2] ?? "";
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  const bracketed = match?.[1] !== undefined;
  if (!isAddress(host) || host.includes(":") !== bracketed) return null;
  return port === null || port < minPort || port > 65_535 ? null : { host, port };
}

/** `127.0.0.1:25`, `[::1]:25`. */
export function formatSocketAddress(address: ListenAddress): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/**
 * The name of a source or pool: it becomes part of queue names, log records and metric labels, so it is made of letters,
 * digits and `_.:-`.
 */
export function itemName(): Kind<string> {
  return stringKind(
    "name",
    "a name of 1 to 100 letters, digits and _ . : -, beginning with a letter or a digit",
    (written) => (/^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$/.test(written) && !isReservedName(written) ? written : null),
    quote,
  );
}

/** A criterion: exact text without blanks, or `*` for any. */
export function pattern(what: string): Kind<string> {
  return stringKind(
    'exact text or "*"',
    `${what}, exactly, or "*" for any`,
    (written) => (written === "*" || /^[^\s*\x00-\x1f\x7f]{1,254}$/.test(written) ? written : null),
    quote,
  );
}
