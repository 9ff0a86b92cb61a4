import { isTable } from "./check.js";
import type { MxListEntry } from "./compiled.js";
import { type Kind, STRING_SCHEMA } from "./kinds.js";
import { formatPath, quote } from "./problems.js";
import { required, table } from "./table.js";
import { isAddress, isHostName, stringKind } from "./text-kinds.js";

const EXPECTED = 'a host such as "mx.example.com", "mx.example.com:2025", "[192.0.2.1]:25" or "unix:/run/lmtp.sock"';
const EXPECTED_PAIR = "a host as above, or { name, addr }";

/** Longest path that a unix socket's address holds (sockaddr_un, with its final NUL). */
const MAX_UNIX_PATH = 107;

/**
 * One entry of `mx_list`: a host name (its addresses are looked up), a bracketed literal, either with a port, a unix
 * socket (`unix:/path` or `/path`), or a table `{ name, addr }`. `written` is what the site's name shows: the entry as
 * written, and the address of a `{ name, addr }`.
 */
export function mxListEntry(): Kind<MxListEntry> {
  return {
    name: "host",
    bounds: "",
    schema: { anyOf: [STRING_SCHEMA, pairTable.schema] },
    read(value, at, check) {
      if (isTable(value) && (Object.hasOwn(value, "name") || Object.hasOwn(value, "addr"))) {
        return pairTable.read(value, at, check);
      }
      const written = check.string(value, at, `${EXPECTED}, or { name, addr }`);
      return written === undefined ? undefined : (parseEntry(written) ?? check.wrong(at, written, EXPECTED));
    },
    print: (value) => quote(value.written),
  };
}

const pair = {
  name: required("name", hostText(), { about: "the host's name, with or without a port" }),
  addr: required("addr", hostText(), { about: "the host's IP address, with or without a port" }),
};

const pairTable: Kind<MxListEntry> = table(Object.values(pair), (reader) => {
  const name = reader.given(pair.name);
  const addr = reader.given(pair.addr);
  if (name === undefined || addr === undefined) return undefined;
  const named = parseEntry(name);
  const addressed = parseEntry(isAddress(addr) && addr.includes(":") ? `[${addr}]` : addr);
  if (named === null || named.unix !== null) return reader.check.wrong(reader.path(pair.name), name, EXPECTED_PAIR);
  if (addressed?.address == null) return reader.check.wrong(reader.path(pair.addr), addr, "an IP address");
  if (named.port !== null && addressed.port !== null && named.port !== addressed.port) {
    const other = formatPath(reader.path(pair.name));
    return reader.check.error(reader.path(pair.addr), `port ${addressed.port} differs from that of ${other}`);
  }
  return {
    name: named.name,
    address: addressed.address,
    port: addressed.port ?? named.port,
    unix: null,
    written: addr,
  };
});

function hostText(): Kind<string> {
  return stringKind("host", EXPECTED, (written) => (written.length <= 300 ? written : null), quote);
}

/** Parses the string forms; null for anything else. */
function parseEntry(written: string): MxListEntry | null {
  const path = written.startsWith("unix:") ? written.slice("unix:".length) : written;
  if (path.startsWith("/")) {
    const good = Buffer.byteLength(path) <= MAX_UNIX_PATH && !/[\x00-\x20\x7f]/.test(path);
    return good ? { name: path, address: null, port: null, unix: path, written } : null;
  }
  const match = /^(?:\[(?:IPv6:)?([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/i.exec(written);
  if (match === null) return null;
  const port = match[3] === undefined ? null : Number(match[3]);
  if (port !== null && (port < 1 || port > 65_535)) return null;
  const host = match[1] ?? match[2] ?? "";
  if (isAddress(host)) return { name: host, address: host, port, unix: null, written };
  if (match[1] !== undefined || !isHostName(host)) return null;
  return { name: host.toLowerCase().replace(/\.$/, ""), address: null, port, unix: null, written };
}
