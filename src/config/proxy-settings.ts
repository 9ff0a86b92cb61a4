import type { HaProxyConfig, HostPort, ProxyConfig, SocksProxyConfig } from "./compiled.js";
import { choice, type Kind } from "./kinds.js";
import { quote } from "./problems.js";
import { secret } from "./secret.js";
import { type Setting, setting, type TableReader } from "./table.js";
import { formatSocketAddress, ipAddress, isAddress, isHostName, stringKind } from "./text-kinds.js";

/** RFC 1929 §2 counts both in one byte. */
const MAX_CREDENTIAL_BYTES = 255;

/** A host name or an address, and a port that must be given: `proxy.example:1080`, `[2001:db8::1]:1080`. */
export function hostPort(): Kind<HostPort> {
  return stringKind(
    "host and port",
    'a host and a port, such as "proxy.example.com:1080", "192.0.2.1:1080" or "[2001:db8::1]:1080"',
    parseHostPort,
    (value) => quote(formatSocketAddress(value)),
  );
}

function parseHostPort(written: string): HostPort | null {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(written);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535) return null;
  const literal = match[1];
  if (literal !== undefined) return literal.includes(":") && isAddress(literal) ? { host: literal, port } : null;
  const host = match[2] ?? "";
  if (isAddress(host)) return { host, port };
  return isHostName(host) ? { host: host.toLowerCase().replace(/\.$/, ""), port } : null;
}

/** The options of `[[source]]` that send its connections through a proxy. */
export const proxySettings = {
  haServer: setting("ha_proxy_server", hostPort(), {
    fallback: null,
    about:
      "HAProxy that connects for this source, told where and from which address by a PROXY header; needs `ha_proxy_source_address`, and wins over `socks5_proxy_server`.",
  }),
  haAddress: setting("ha_proxy_source_address", ipAddress(), {
    fallback: null,
    about: "Address of the HAProxy's host that connections leave from.",
  }),
  haProtocol: setting("ha_proxy_protocol", choice("v2", "v1"), {
    fallback: "v2" as const,
    about: "Version of the PROXY header: binary, or a line of text.",
  }),
  socksServer: setting("socks5_proxy_server", hostPort(), {
    fallback: null,
    about: "SOCKS 5 proxy that connects for this source.",
  }),
  socksAddress: setting("socks5_proxy_source_address", ipAddress(), {
    fallback: null,
    about: "Address of the proxy's host that connections leave from; needed unless `socks5_proxy_method` is `connect`.",
  }),
  socksMethod: setting("socks5_proxy_method", choice("bind", "connect"), {
    fallback: "bind" as const,
    about:
      "`bind` asks for the source address with BIND before CONNECT, as `hikyaku proxy` understands it; `connect` leaves the address to the proxy, and works with every SOCKS 5 server.",
  }),
  socksUser: setting("socks5_proxy_username", secret({ max: MAX_CREDENTIAL_BYTES }), {
    fallback: null,
    about: "User name for the SOCKS 5 proxy (RFC 1929).",
  }),
  socksPassword: setting("socks5_proxy_password", secret({ max: MAX_CREDENTIAL_BYTES }), {
    fallback: null,
    about: "Password that goes with `socks5_proxy_username`.",
  }),
};

const { haServer, haAddress, haProtocol, socksServer, socksAddress, socksMethod, socksUser, socksPassword } =
  proxySettings;

/** Reads the proxy of a source, null for none; what is half given or does not fit is reported. */
export function readProxy(reader: TableReader, localAddress: string | null): ProxyConfig | null {
  const ha = readHaProxy(reader, localAddress);
  const socks = readSocksProxy(reader, localAddress);
  if (reader.has(haServer) && reader.has(socksServer)) {
    reader.check.warn(reader.path(socksServer), `without effect, ${quote(haServer.key)} wins`);
  }
  return ha ?? socks;
}

function readHaProxy(reader: TableReader, localAddress: string | null): HaProxyConfig | null {
  const server = reader.get(haServer);
  const sourceAddress = reader.get(haAddress);
  const version = reader.get(haProtocol) === "v1" ? 1 : 2;
  pair(reader, haServer, haAddress);
  needs(reader, haProtocol, haServer);
  checkFamily(reader, haServer, server, localAddress);
  return server === null || sourceAddress === null ? null : { protocol: "haproxy", server, sourceAddress, version };
}

function readSocksProxy(reader: TableReader, localAddress: string | null): SocksProxyConfig | null {
  const server = reader.get(socksServer);
  const sourceAddress = reader.get(socksAddress);
  const username = reader.get(socksUser);
  const password = reader.get(socksPassword);
  if (reader.get(socksMethod) === "connect") {
    if (reader.has(socksAddress)) {
      const why = `has no meaning with ${socksMethod.key} = "connect": the proxy chooses the address`;
      reader.check.error(reader.path(socksAddress), why);
    }
    needs(reader, socksMethod, socksServer);
  } else {
    pair(reader, socksServer, socksAddress);
    needs(reader, socksMethod, socksServer);
  }
  pair(reader, socksUser, socksPassword);
  needs(reader, socksUser, socksServer);
  checkFamily(reader, socksServer, server, localAddress);
  if (server === null) return null;
  const credentials = username === null || password === null ? null : { username, password };
  return { protocol: "socks5", server, sourceAddress, credentials };
}

type AnySetting = Setting<unknown, unknown>;

/** Both or none of two settings. */
function pair(reader: TableReader, one: AnySetting, other: AnySetting): void {
  needs(reader, one, other);
  needs(reader, other, one);
}

function needs(reader: TableReader, one: AnySetting, other: AnySetting): void {
  if (reader.has(one) && !reader.has(other)) reader.check.error(reader.path(one), `needs ${quote(other.key)}`);
}

/** The proxy is connected to from `source_address`: with an address of another family it could never be reached. */
function checkFamily(reader: TableReader, at: AnySetting, server: HostPort | null, localAddress: string | null): void {
  if (server === null || localAddress === null || !isAddress(server.host)) return;
  if (server.host.includes(":") === localAddress.includes(":")) return;
  reader.check.error(
    reader.path(at),
    `cannot be reached from source_address ${quote(localAddress)}, of another family`,
  );
}
