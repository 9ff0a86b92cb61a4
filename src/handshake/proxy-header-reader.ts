/**
 * Reads the PROXY header that a connection begins with, version 1 or 2, in pieces of any size.
 *
 * Runs on   any thread
 * Owns      the bytes of the header that have come so far
 * When full a header longer than its bounds ends with a reason, before more is kept
 * On failure a malformed header has a reason; the caller closes without a word (specification §2)
 */
import { parseIp } from "../base/cidr.js";
import { addressText, familyOf } from "./address-bytes.js";
import { crc32c } from "./crc32c.js";
import { type Endpoint, V1_MAX_BYTES, V2_FIXED_BYTES, V2_SIGNATURE } from "./proxy-header.js";

/** Most bytes of addresses and extras in a header of version 2: the sender's certificate facts fit many times over. */
export const V2_MAX_LENGTH = 4096;

const TLV_CRC32C = 0x03;
const V1_START = Buffer.from("PROXY ", "latin1");

/** What a header says: whose connection it is, or that the connection's own addresses hold. */
export type ProxyFacts =
  | { readonly kind: "proxied"; readonly source: Endpoint; readonly destination: Endpoint }
  | { readonly kind: "own" };

/** What came of a piece. `end` is where the header ended in the piece: what follows belongs to the protocol above. */
export type HeaderStep =
  | { readonly kind: "more" }
  | { readonly kind: "done"; readonly facts: ProxyFacts; readonly end: number }
  | { readonly kind: "bad"; readonly reason: string };

/** See the file's header. */
export class ProxyHeaderReader {
  #kept: Buffer = Buffer.alloc(0);

  /** Takes `buffer[start, end)`. Not to be called again after anything but `more`. */
  feed(buffer: Buffer, start: number, end: number): HeaderStep {
    const before = this.#kept.length;
    const room = V2_FIXED_BYTES + V2_MAX_LENGTH - before;
    const taken = Math.min(end, start + room);
    const bytes =
      before === 0 ? buffer.subarray(start, taken) : Buffer.concat([this.#kept, buffer.subarray(start, taken)]);
    const found = read(bytes);
    if (found.kind === "done") return { ...found, end: start + found.end - before };
    // The piece is the reactor's own memory: what is kept is copied.
    if (found.kind === "more") this.#kept = before === 0 ? Buffer.from(bytes) : bytes;
    return found;
  }
}

function bad(reason: string): HeaderStep {
  return { kind: "bad", reason };
}

const MORE: HeaderStep = { kind: "more" };

/** Reads what there is; `end` counts from its beginning. */
function read(bytes: Buffer): HeaderStep {
  if (startsLike(bytes, V2_SIGNATURE)) return bytes.length < V2_FIXED_BYTES ? MORE : readV2(bytes);
  if (startsLike(bytes, V1_START)) return bytes.length < V1_START.length ? MORE : readV1(bytes);
  return bad("no PROXY header");
}

/** Whether `bytes` begins as `start` does, as far as it goes. */
function startsLike(bytes: Buffer, start: Uint8Array): boolean {
  const length = Math.min(bytes.length, start.length);
  for (let i = 0; i < length; i++) if (bytes[i] !== start[i]) return false;
  return true;
}

function readV1(bytes: Buffer): HeaderStep {
  const lineEnd = bytes.subarray(0, V1_MAX_BYTES).indexOf("\r\n");
  if (lineEnd < 0) return bytes.length >= V1_MAX_BYTES ? bad("a version 1 header is at most 107 bytes") : MORE;
  const end = lineEnd + 2;
  const line = bytes.toString("latin1", 0, lineEnd);
  // UNKNOWN may be followed by anything: the rest of the line is ignored.
  if (line === "PROXY UNKNOWN" || line.startsWith("PROXY UNKNOWN "))
    return { kind: "done", facts: { kind: "own" }, end };
  const [, family, source, destination, sourcePort, destinationPort, ...more] = line.split(" ");
  const ports = [readPort(sourcePort), readPort(destinationPort)] as const;
  if ((family !== "TCP4" && family !== "TCP6") || more.length > 0 || ports[0] < 0 || ports[1] < 0) {
    return bad("malformed version 1 header");
  }
  const version = family === "TCP4" ? 4 : 6;
  for (const address of [source, destination]) {
    const good = address !== undefined && !address.includes("%") && parseIp(address) !== null;
    if (!good || familyOf(address) !== version) return bad("an address of the version 1 header is not of its family");
  }
  const facts: ProxyFacts = {
    kind: "proxied",
    source: { address: source as string, port: ports[0] },
    destination: { address: destination as string, port: ports[1] },
  };
  return { kind: "done", facts, end };
}

/** A decimal port without a leading zero; -1 for anything else. */
function readPort(text: string | undefined): number {
  if (text === undefined || !/^(0|[1-9]\d{0,4})$/.test(text)) return -1;
  const port = Number(text);
  return port <= 65_535 ? port : -1;
}

/** Bytes of both ends by the family nibble; 0 where they say nothing that we use (UNSPEC), and 216 for two unix paths. */
const ADDRESS_BYTES: Readonly<Record<number, number>> = { 0: 0, 1: 12, 2: 36, 3: 216 };

function readV2(bytes: Buffer): HeaderStep {
  const [command, family] = [bytes[12] as number, bytes[13] as number];
  const length = bytes.readUInt16BE(14);
  if (command >> 4 !== 2) return bad("the version is not 2");
  if ((command & 15) > 1) return bad("neither LOCAL nor PROXY");
  if (length > V2_MAX_LENGTH) return bad(`the header says ${length} bytes follow, more than ${V2_MAX_LENGTH}`);
  const end = V2_FIXED_BYTES + length;
  if (bytes.length < end) return MORE;
  if ((command & 15) === 0) return { kind: "done", facts: { kind: "own" }, end };
  const needed = ADDRESS_BYTES[family >> 4];
  if (needed === undefined || (family & 15) > 2) return bad("unknown family or transport");
  if (length < needed) return bad("the header is too short for its family");
  const header = bytes.subarray(0, end);
  const trouble = checkExtras(header, V2_FIXED_BYTES + needed);
  if (trouble !== null) return bad(trouble);
  // Only streams over IP say whose connection it is; the rest leaves it to the connection's own addresses.
  const size = { 17: 4, 33: 16 }[family];
  return { kind: "done", facts: size === undefined ? { kind: "own" } : endsOf(header, size), end };
}

function endsOf(header: Buffer, size: number): ProxyFacts {
  const address = (at: number): string => addressText(header.subarray(at, at + size));
  const portsAt = V2_FIXED_BYTES + 2 * size;
  return {
    kind: "proxied",
    source: { address: address(V2_FIXED_BYTES), port: header.readUInt16BE(portsAt) },
    destination: { address: address(V2_FIXED_BYTES + size), port: header.readUInt16BE(portsAt + 2) },
  };
}

/** Walks the extras (TLVs); all are skipped but the checksum, which must be right. Null when all is well. */
function checkExtras(header: Buffer, start: number): string | null {
  for (let at = start; at < header.length; ) {
    if (at + 3 > header.length) return "an extra of the header is cut off";
    const length = header.readUInt16BE(at + 1);
    const value = at + 3;
    if (value + length > header.length) return "an extra of the header is cut off";
    if (header[at] === TLV_CRC32C) {
      if (length !== 4) return "the checksum is not of four bytes";
      const copy = Buffer.from(header);
      copy.fill(0, value, value + 4);
      if (crc32c(copy) !== header.readUInt32BE(value)) return "the checksum is wrong";
    }
    at = value + length;
  }
  return null;
}
