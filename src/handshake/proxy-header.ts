import { assert } from "../base/assert.js";
import { addressBytes } from "./address-bytes.js";

/**
 * The PROXY protocol's header, versions 1 and 2 (HAProxy's specification, edition of 2020):
 * what one end of a proxy says, before any other byte, about the connection that it carries.
 */

/** The twelve bytes that begin a header of version 2; no protocol that a client speaks first begins so. */
export const V2_SIGNATURE: Uint8Array = Uint8Array.of(
  0x0d,
  0x0a,
  0x0d,
  0x0a,
  0x00,
  0x0d,
  0x0a,
  0x51,
  0x55,
  0x49,
  0x54,
  0x0a,
);

/** Bytes before the addresses: signature, version and command, family, length. */
export const V2_FIXED_BYTES = 16;
/** The longest header of version 1, its line end included. */
export const V1_MAX_BYTES = 107;

/** One end of a connection. */
export interface Endpoint {
  /** Numeric. */
  readonly address: string;
  readonly port: number;
}

/** Makes a header of this version; both ends are of one family. */
export function proxyHeader(version: 1 | 2, source: Endpoint, destination: Endpoint): Uint8Array {
  const from = addressBytes(source.address);
  const to = addressBytes(destination.address);
  assert(from !== null && to !== null && from.length === to.length, "both ends of a header are of one family");
  return version === 1 ? writeV1(source, destination, from.length === 4) : writeV2(source, destination, from, to);
}

function writeV1(source: Endpoint, destination: Endpoint, v4: boolean): Uint8Array {
  const addresses = `${source.address} ${destination.address} ${source.port} ${destination.port}`;
  return Buffer.from(`PROXY ${v4 ? "TCP4" : "TCP6"} ${addresses}\r\n`, "latin1");
}

function writeV2(source: Endpoint, destination: Endpoint, from: Uint8Array, to: Uint8Array): Uint8Array {
  const header = Buffer.alloc(V2_FIXED_BYTES + 2 * from.length + 4);
  header.set(V2_SIGNATURE);
  header[12] = 0x21; // version 2, PROXY
  header[13] = from.length === 4 ? 0x11 : 0x21; // the family, over a stream
  header.writeUInt16BE(2 * from.length + 4, 14);
  header.set(from, V2_FIXED_BYTES);
  header.set(to, V2_FIXED_BYTES + from.length);
  header.writeUInt16BE(source.port, V2_FIXED_BYTES + 2 * from.length);
  header.writeUInt16BE(destination.port, V2_FIXED_BYTES + 2 * from.length + 2);
  return header;
}
