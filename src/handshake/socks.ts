import { addressBytes, addressText } from "./address-bytes.js";

/** What both ends of SOCKS 5 (RFC 1928) and its user name and password (RFC 1929) share. */

/** Version of the protocol, and of the exchange of user name and password. */
export const SOCKS_VERSION = 5;
/** See {@link SOCKS_VERSION}. */
export const AUTH_VERSION = 1;

/** How a client proves who it is. */
export enum Method {
  none = 0,
  password = 2,
  unacceptable = 0xff,
}

/** What a client may ask for. */
export enum Command {
  connect = 1,
  bind = 2,
  associate = 3,
}

/** How an address is written in bytes. */
export enum AddressType {
  v4 = 1,
  name = 3,
  v6 = 4,
}

/** What a proxy answers (RFC 1928 §6). */
export enum ReplyCode {
  succeeded = 0,
  failure = 1,
  notAllowed = 2,
  networkUnreachable = 3,
  hostUnreachable = 4,
  refused = 5,
  expired = 6,
  commandNotSupported = 7,
  addressNotSupported = 8,
}

const REPLY_WORDS: Readonly<Record<ReplyCode, string>> = {
  [ReplyCode.succeeded]: "succeeded",
  [ReplyCode.failure]: "general failure",
  [ReplyCode.notAllowed]: "not allowed by its rules",
  [ReplyCode.networkUnreachable]: "network unreachable",
  [ReplyCode.hostUnreachable]: "host unreachable",
  [ReplyCode.refused]: "connection refused",
  [ReplyCode.expired]: "time to live expired",
  [ReplyCode.commandNotSupported]: "command not supported",
  [ReplyCode.addressNotSupported]: "address type not supported",
};

/** A reply's code in words, every one of the 256. */
export function replyWords(code: number): string {
  const words: Readonly<Record<number, string>> = REPLY_WORDS;
  return words[code] ?? `unassigned code ${code}`;
}

/** A request or reply: both are a version, a byte, a zero, an address and a port. Names are at most 255 bytes of ASCII. */
export function socksFrame(second: number, host: string, port: number): Uint8Array {
  const numeric = addressBytes(host);
  const name = numeric === null ? Buffer.from(host, "latin1") : null;
  const type = numeric === null ? AddressType.name : numeric.length === 4 ? AddressType.v4 : AddressType.v6;
  const prefix = name === null ? [] : [name.length];
  const tail = [port >> 8, port & 0xff];
  return Uint8Array.from([SOCKS_VERSION, second, 0, type, ...prefix, ...(numeric ?? name ?? []), ...tail]);
}

/** A request or reply that has come whole, and where it ends. */
export interface SocksFrame {
  readonly second: number;
  readonly type: AddressType;
  readonly host: string;
  readonly port: number;
  readonly end: number;
}

/** Reads a request or reply from the beginning of `bytes`; a text says what is wrong with it, null that more must come. */
export function readFrame(bytes: Buffer): SocksFrame | string | null {
  if (bytes.length > 0 && bytes[0] !== SOCKS_VERSION) return `version ${bytes[0]} instead of 5`;
  if (bytes.length < 5) return null;
  const type = bytes[3] as number;
  if (type !== AddressType.v4 && type !== AddressType.v6 && type !== AddressType.name) {
    return `unknown address type ${type}`;
  }
  const start = type === AddressType.name ? 5 : 4;
  const size = type === AddressType.name ? (bytes[4] as number) : type === AddressType.v4 ? 4 : 16;
  const end = start + size + 2;
  if (bytes.length < end) return null;
  const raw = bytes.subarray(start, start + size);
  const host = type === AddressType.name ? raw.toString("latin1") : addressText(raw);
  return { second: bytes[1] as number, type, host, port: bytes.readUInt16BE(end - 2), end };
}
