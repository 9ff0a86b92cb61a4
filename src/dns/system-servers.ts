import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import type { ListenAddress } from "../config/compiled.js";

const DNS_PORT = 53;
/** As many as the system's own resolver reads (resolv.conf(5), MAXNS). */
const MAX_SERVERS = 3;

/** The name servers of a `resolv.conf`; this machine when it names none, as resolv.conf(5) says. */
export function parseResolvConf(text: string): readonly ListenAddress[] {
  const servers: ListenAddress[] = [];
  for (const line of text.split("\n")) {
    const host = /^\s*nameserver\s+([0-9A-Fa-f:.%\w]+)/.exec(line)?.[1];
    if (host !== undefined && isIP(host) !== 0 && servers.length < MAX_SERVERS) servers.push({ host, port: DNS_PORT });
  }
  return servers.length === 0 ? [{ host: "127.0.0.1", port: DNS_PORT }] : servers;
}

/** The system's name servers, from `/etc/resolv.conf`; this machine when that cannot be read. */
export function systemServers(path = "/etc/resolv.conf"): readonly ListenAddress[] {
  try {
    return parseResolvConf(readFileSync(path, "utf8"));
  } catch {
    return parseResolvConf("");
  }
}
