import { NetworkSet } from "./cidr.js";

/**
 * Addresses that are not of the public internet (RFC 6890 and the registries that follow it): this machine, its networks,
 * multicast, and forms of IPv6 that carry an IPv4 address inside.
 * A name that a stranger chose must not lead there. `::ffff:0:0/96` is not listed: such addresses count as IPv4.
 */
const PRIVATE = new NetworkSet([
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/3",
  "::/96",
  "64:ff9b::/96",
  "64:ff9b:1::/48",
  "100::/64",
  "2001::/23",
  "2001:db8::/32",
  "2002::/16",
  "fc00::/7",
  "fe80::/9",
  "ff00::/8",
]);

/** Whether an address is of no public network; true for what is no address. `allowed` are exceptions. */
export function isPrivate(address: string, allowed: NetworkSet): boolean {
  return PRIVATE.has(address) ? !allowed.has(address) : !/^[0-9a-f.:]+$/i.test(address);
}
