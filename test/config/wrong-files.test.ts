import assert from "node:assert/strict";
import { test } from "node:test";
import { errorsOf } from "./files.js";

/** A wrong file, and all that is said about it. */
type Case = readonly [name: string, toml: string, expected: readonly string[]];

const cases: readonly Case[] = [
  [
    "an unknown key names the nearest known one",
    '[spool]\ndurabilty = "flushed"\n',
    ['hikyaku.toml:2: spool.durabilty: unknown key, nearest known key "durability"'],
  ],
  [
    "an unknown table",
    "[smtp]\nlisten = 1\n",
    ['hikyaku.toml:1: smtp: unknown key, nearest known key "smtp_listener"'],
  ],
  [
    "a key in camelCase",
    "[[queue]]\nretryInterval = 1\n",
    ['hikyaku.toml:2: queue[0].retryInterval: unknown key, nearest known key "retry_interval"'],
  ],
  [
    "a word that is none of the allowed ones; case counts",
    '[spool]\ndurability = "Flushed"\n',
    ['hikyaku.toml:2: spool.durability: found "Flushed", expected one of "flushed", "committed", "deferred"'],
  ],
  [
    "all errors at once, in order",
    '[threads]\nworkers = 0\n\n[delivery]\nmode = "test"\n[spool]\nmax_messages = "many"\n',
    [
      "hikyaku.toml:2: threads.workers: found 0, expected a whole number from 1 to 256",
      'hikyaku.toml:5: delivery.mode: found "test", expected one of "sandbox", "live"',
      'hikyaku.toml:7: spool.max_messages: found "many", expected a whole number from 1 to 100000000',
    ],
  ],
  [
    "a number of workers in words",
    '[threads]\nworkers = "all"\n',
    ['hikyaku.toml:2: threads.workers: found "all", expected "auto" or a whole number from 1 to 256'],
  ],
  [
    "durations",
    '[dns]\ntimeout = "5"\n[[queue]]\nretry_interval = -1\nmax_age = "2 years"\n',
    [
      'hikyaku.toml:2: dns.timeout: found "5", expected a duration from 50ms to 5m, such as "90s", "20m" or a number of seconds',
      'hikyaku.toml:4: queue[0].retry_interval: found -1, expected a duration from 1s to 30d, such as "90s", "20m" or a number of seconds',
      'hikyaku.toml:5: queue[0].max_age: found "2 years", expected a duration from 1s to 365d, such as "90s", "20m" or a number of seconds',
    ],
  ],
  [
    "sizes",
    '[[smtp_listener]]\nmax_message_size = "20M"\n',
    [
      'hikyaku.toml:2: smtp_listener[0].max_message_size: found "20M", expected a size from 64KiB to 1GiB, such as "20MiB", "1GB" or a number of bytes',
    ],
  ],
  [
    "percentages",
    '[spool]\nmin_free_space = "110%"\nmin_free_inodes = -1\n',
    [
      'hikyaku.toml:2: spool.min_free_space: found "110%", expected a percentage such as "10%", a size such as "1GiB", or a count',
      'hikyaku.toml:3: spool.min_free_inodes: found -1, expected a percentage such as "10%", a size such as "1GiB", or a count',
    ],
  ],
  [
    "networks have no host bits; the element's own line is named",
    '[[smtp_listener]]\nrelay_hosts = [\n  "127.0.0.0/8",\n  "10.0.0.1/8",\n]\n',
    [
      'hikyaku.toml:4: smtp_listener[0].relay_hosts[1]: found "10.0.0.1/8", expected an IP address or a network whose host bits are zero, such as "192.0.2.0/24" or "::1"',
    ],
  ],
  [
    "a listening address is an IP address and a port",
    '[[smtp_listener]]\nlisten = "localhost:25"\n[[smtp_listener]]\nlisten = "127.0.0.1"\n[[http_listener]]\nlisten = "::1:80"\n',
    [
      'hikyaku.toml:2: smtp_listener[0].listen: found "localhost:25", expected an IP address and a port, such as "127.0.0.1:2025" or "[::1]:2025"',
      'hikyaku.toml:4: smtp_listener[1].listen: found "127.0.0.1", expected an IP address and a port, such as "127.0.0.1:2025" or "[::1]:2025"',
      'hikyaku.toml:6: http_listener[0].listen: found "::1:80", expected an IP address and a port, such as "127.0.0.1:2025" or "[::1]:2025"',
    ],
  ],
  [
    "two listeners on one address",
    '[[smtp_listener]]\nlisten = "127.0.0.1:25"\n[[http_listener]]\nlisten = "127.0.0.1:25"\n',
    ['hikyaku.toml:4: http_listener[0].listen: "127.0.0.1:25" is already the address of smtp_listener[0]'],
  ],
  [
    "tables, lists and dates where something else belongs",
    "[[smtp_listener]]\nlisten = []\nbanner = 1979-05-27\nrelay_hosts = true\nmax_connections = 1.5\n[node]\nhostname = { a = 1 }\n",
    [
      'hikyaku.toml:2: smtp_listener[0].listen: found a list, expected an IP address and a port, such as "127.0.0.1:2025" or "[::1]:2025"',
      "hikyaku.toml:3: smtp_listener[0].banner: found a date, expected a text of 1 to 400 characters on one line",
      "hikyaku.toml:4: smtp_listener[0].relay_hosts: found true, expected a list of networks",
      "hikyaku.toml:5: smtp_listener[0].max_connections: found 1.5, expected a whole number from 1 to 1000000",
      'hikyaku.toml:7: node.hostname.a: unknown key, nearest known key "env"',
    ],
  ],
  [
    "a section that is no section",
    'spool = "here"\nqueue = 3\n',
    [
      'hikyaku.toml:1: spool: found "here", expected a table',
      "hikyaku.toml:2: queue: found 3, expected a list of queue rules",
    ],
  ],
  [
    "a domain of a listener, in quotes with dots",
    '[[smtp_listener]]\n[smtp_listener.domains."example.com"]\nrelay_too = true\n[smtp_listener.domains."not a domain"]\n',
    [
      'hikyaku.toml:3: smtp_listener[0].domains."example.com".relay_too: unknown key, nearest known key "relay_to"',
      'hikyaku.toml:4: smtp_listener[0].domains."not a domain": "not a domain" cannot stand in a table of domains',
    ],
  ],
  [
    "a source is suspended at once or after so many failures in a time, and for a time",
    '[[source]]\nname = "a"\nsuspend_when_unplumbed = { trigger = "Never", duration = "1m" }\n[[source]]\nname = "b"\nsuspend_when_proxy_unhealthy = { trigger = { Treshold = "5/min" }, duration = "1m" }\n[[source]]\nname = "c"\nsuspend_when_unplumbed = { trigger = { Threshold = 5 } }\n',
    [
      'hikyaku.toml:3: source[0].suspend_when_unplumbed.trigger: found "Never", expected "Immediate" or { Threshold = "N/period" }, such as { Threshold = "5/min" }',
      'hikyaku.toml:6: source[1].suspend_when_proxy_unhealthy.trigger.Treshold: unknown key, nearest known key "Threshold"',
      'hikyaku.toml:9: source[2].suspend_when_unplumbed.trigger.Threshold: found 5, expected a rate, such as "100/min", "1_000/30min" or "5/s,max_burst=1"',
      'hikyaku.toml:9: source[2].suspend_when_unplumbed: missing "duration": how long the source is out of use',
    ],
  ],
  [
    "pools name sources that exist, queues pools that exist",
    '[[source]]\nname = "ip-1"\n[[pool]]\nname = "main"\nentries = [\n  { name = "ip-1" },\n  { name = "ip1", weight = 2 },\n]\n[[queue]]\negress_pool = "mian"\n',
    [
      'hikyaku.toml:7: pool[0].entries[1].name: no source named "ip1", nearest is "ip-1"',
      'hikyaku.toml:10: queue[0].egress_pool: no pool named "mian", nearest is "main"',
    ],
  ],
  [
    "a bad element does not shift the place of the others",
    '[[pool]]\nname = "a"\nentries = [\n  { weight = 1 },\n  { name = "nowhere" },\n]\n',
    [
      'hikyaku.toml:4: pool[0].entries[0]: missing "name": name of a source',
      'hikyaku.toml:5: pool[0].entries[1].name: no source named "nowhere", nearest is "unspecified"',
    ],
  ],
  [
    "names are used once",
    '[[source]]\nname = "a"\n[[source]]\nname = "a"\n[[source]]\nname = "unspecified"\n[[pool]]\nname = "p"\nentries = [{ name = "a" }, { name = "a" }]\n[[pool]]\nname = "p"\nentries = [{ name = "a" }]\n',
    [
      'hikyaku.toml:4: source[1].name: "a" is already the name of source[0]',
      'hikyaku.toml:6: source[2].name: "unspecified" always exists and means the system\'s choice',
      'hikyaku.toml:9: pool[0].entries[1].name: "a" is already in this pool',
      'hikyaku.toml:11: pool[1].name: "p" is already the name of pool[0]',
    ],
  ],
  [
    "names that could be mistaken, and weights",
    '[[source]]\nname = "a b"\n[[pool]]\nname = "x"\nentries = [{ name = "unspecified", weight = -1 }]\n[[pool]]\nname = "y"\nentries = []\n',
    [
      'hikyaku.toml:2: source[0].name: found "a b", expected a name of 1 to 100 letters, digits and _ . : -, beginning with a letter or a digit',
      "hikyaku.toml:5: pool[0].entries[0].weight: found -1, expected a whole number from 0 to 1000000",
      "hikyaku.toml:8: pool[1].entries: found 0 sources, expected at least 1",
    ],
  ],
  [
    "hosts of an explicit list",
    '[[queue]]\nprotocol = { smtp = { mx_list = ["mx.example.com:99999", "[mx.example.com]", { name = "a.example", addr = "b.example" }, { name = "a.example" }, "a b"] } }\n',
    [
      'hikyaku.toml:2: queue[0].protocol.smtp.mx_list[0]: found "mx.example.com:99999", expected a host such as "mx.example.com", "mx.example.com:2025", "[192.0.2.1]:25" or "unix:/run/lmtp.sock"',
      'hikyaku.toml:2: queue[0].protocol.smtp.mx_list[1]: found "[mx.example.com]", expected a host such as "mx.example.com", "mx.example.com:2025", "[192.0.2.1]:25" or "unix:/run/lmtp.sock"',
      'hikyaku.toml:2: queue[0].protocol.smtp.mx_list[2].addr: found "b.example", expected an IP address',
      'hikyaku.toml:2: queue[0].protocol.smtp.mx_list[3]: missing "addr": the host\'s IP address, with or without a port',
      'hikyaku.toml:2: queue[0].protocol.smtp.mx_list[4]: found "a b", expected a host such as "mx.example.com", "mx.example.com:2025", "[192.0.2.1]:25" or "unix:/run/lmtp.sock"',
    ],
  ],
  [
    "ways of delivery",
    '[[queue]]\nprotocol = "smtp"\n[[queue]]\nprotocol = { http = { url = "https://example.com" } }\n[[queue]]\nprotocol = { maildir_path = "/var/mail" }\n[[queue]]\nprotocol.smpt.mx_list = ["a.example"]\n',
    [
      'hikyaku.toml:2: queue[0].protocol: found "smtp", expected "null" (discard) or a table such as { smtp = { mx_list = ["host:25"] } }',
      "hikyaku.toml:4: queue[1].protocol.http: not available in this version: delivery by HTTP",
      "hikyaku.toml:6: queue[2].protocol.maildir_path: not available in this version: delivery to a maildir",
      'hikyaku.toml:8: queue[3].protocol.smpt: unknown key, nearest known key "smtp"',
    ],
  ],
  [
    "what is not there yet is known, and an error",
    '[[log_hook]]\nname = "w"\n[dkim]\n[redis]\nnode = "redis://127.0.0.1"\n[policy]\nfile = "policy.ts"\n[[smtp_listener]]\ntls_certificate = "cert.pem"\nallow_xclient = true\n',
    [
      "hikyaku.toml:1: log_hook: not available in this version: log hooks",
      "hikyaku.toml:3: dkim: not available in this version: DKIM signing",
      "hikyaku.toml:4: redis: not available in this version: a cluster over Redis",
      "hikyaku.toml:6: policy: not available in this version: policy hooks",
      "hikyaku.toml:9: smtp_listener[0].tls_certificate: not available in this version: STARTTLS for clients",
      "hikyaku.toml:10: smtp_listener[0].allow_xclient: not available in this version: XCLIENT",
    ],
  ],
  [
    "a proxy that is half described",
    '[[source]]\nname = "a"\nha_proxy_server = "127.0.0.1:1"\n[[source]]\nname = "b"\nha_proxy_source_address = "192.0.2.1"\nha_proxy_protocol = "v1"\n[[source]]\nname = "c"\nsocks5_proxy_server = "p.example:1080"\nsocks5_proxy_username = "u"\n[[source]]\nname = "d"\nsocks5_proxy_username = "u"\nsocks5_proxy_password = "p"\nsocks5_proxy_method = "connect"\n',
    [
      'hikyaku.toml:3: source[0].ha_proxy_server: needs "ha_proxy_source_address"',
      'hikyaku.toml:6: source[1].ha_proxy_source_address: needs "ha_proxy_server"',
      'hikyaku.toml:7: source[1].ha_proxy_protocol: needs "ha_proxy_server"',
      'hikyaku.toml:10: source[2].socks5_proxy_server: needs "socks5_proxy_source_address"',
      'hikyaku.toml:11: source[2].socks5_proxy_username: needs "socks5_proxy_password"',
      'hikyaku.toml:14: source[3].socks5_proxy_username: needs "socks5_proxy_server"',
      'hikyaku.toml:16: source[3].socks5_proxy_method: needs "socks5_proxy_server"',
    ],
  ],
  [
    "a proxy that cannot be: no port, a family that does not fit, an address that is not asked for",
    '[[source]]\nname = "a"\nsocks5_proxy_server = "p.example"\nsocks5_proxy_source_address = "192.0.2.1"\n[[source]]\nname = "b"\nsource_address = "192.0.2.1"\nha_proxy_server = "[::1]:1080"\nha_proxy_source_address = "::2"\n[[source]]\nname = "c"\nsocks5_proxy_server = "192.0.2.9:1080"\nsocks5_proxy_source_address = "::2"\nsocks5_proxy_method = "connect"\n',
    [
      'hikyaku.toml:3: source[0].socks5_proxy_server: found "p.example", expected a host and a port, such as "proxy.example.com:1080", "192.0.2.1:1080" or "[2001:db8::1]:1080"',
      'hikyaku.toml:8: source[1].ha_proxy_server: cannot be reached from source_address "192.0.2.1", of another family',
      'hikyaku.toml:13: source[2].socks5_proxy_source_address: has no meaning with socks5_proxy_method = "connect": the proxy chooses the address',
    ],
  ],
  [
    "a secret is never repeated",
    '[[source]]\nname = "a"\nsocks5_proxy_server = "p.example:1"\nsocks5_proxy_source_address = "::1"\nsocks5_proxy_username = 12345\nsocks5_proxy_password = { file = "missing" }\n[[source]]\nname = "b"\nsocks5_proxy_username = ""\nsocks5_proxy_password = { vault_mount = "m", vault_path = "p", vault_key = "k" }\nsocks5_proxy_server = "p.example:1"\nsocks5_proxy_source_address = "::1"\n',
    [
      "hikyaku.toml:5: source[0].socks5_proxy_username: expected a secret of 1 to 255 bytes, written out or as { env }, { file } or { vault_mount, vault_path, vault_key }",
      'hikyaku.toml:6: source[0].socks5_proxy_password: file "missing" cannot be read (ENOENT)',
      "hikyaku.toml:9: source[1].socks5_proxy_username: found 0 bytes, expected a secret of 1 to 255 bytes, written out or as { env }, { file } or { vault_mount, vault_path, vault_key }",
      "hikyaku.toml:10: source[1].socks5_proxy_password: secrets from Vault are not for this file",
    ],
  ],
  [
    "secrets from elsewhere",
    '[node]\nhostname = { env = "NOT_SET" }\n[[smtp_listener]]\nbanner = { file = "missing.txt" }\nhostname = { vault_mount = "a", vault_path = "b" }\n',
    [
      'hikyaku.toml:2: node.hostname: environment variable "NOT_SET" is not set',
      'hikyaku.toml:4: smtp_listener[0].banner: file "missing.txt" cannot be read (ENOENT)',
      "hikyaku.toml:5: smtp_listener[0].hostname: a secret from Vault goes only where a secret or a PEM file goes",
    ],
  ],
  [
    "trust in the AD bit needs local servers",
    '[dns]\ndnssec = "trust-ad"\nservers = ["127.0.0.1", "192.0.2.53:53"]\n',
    ['hikyaku.toml:3: dns.servers[1]: dns.dnssec = "trust-ad" needs name servers on this machine'],
  ],
  [
    "the system's servers are not known to be local",
    '[dns]\ndnssec = "trust-ad"\n',
    ['hikyaku.toml:2: dns.dnssec: "trust-ad" needs name servers on this machine, named in dns.servers'],
  ],
  [
    "a hosts file that is not there, beside other errors",
    '[dns]\ntimeout = 0\nhosts_file = "none.zone"\n',
    [
      'hikyaku.toml:2: dns.timeout: found 0, expected a duration from 50ms to 5m, such as "90s", "20m" or a number of seconds',
      'hikyaku.toml:3: dns.hosts_file: file "none.zone" cannot be read (ENOENT)',
    ],
  ],
  [
    "criteria are exact or *",
    '[[queue]]\nmatch = { domain = "*.example.com", tenant = 7, domian = "x" }\n',
    [
      'hikyaku.toml:2: queue[0].match.domian: unknown key, nearest known key "domain"',
      'hikyaku.toml:2: queue[0].match.domain: found "*.example.com", expected a domain, exactly, or "*" for any',
      'hikyaku.toml:2: queue[0].match.tenant: found 7, expected a tenant, exactly, or "*" for any',
    ],
  ],
  [
    "control characters cannot reach replies and logs",
    '[[smtp_listener]]\nbanner = "a\\r\\n250 b"\n["x\\ny"]\n',
    [
      'hikyaku.toml:2: smtp_listener[0].banner: found "a\\r\\n250 b", expected a text of 1 to 400 characters on one line',
      'hikyaku.toml:3: "x\\ny": unknown key, nearest known key "dns"',
    ],
  ],
  [
    "dangerous names are ordinary unknown names",
    '__proto__ = 1\n[constructor]\n[[source]]\nname = "constructor"\n[[smtp_listener]]\n[smtp_listener.domains.__proto__]\nrelay_to = true\n[spool]\n"toString" = 1\n',
    [
      'hikyaku.toml:1: __proto__: unknown key, nearest known key "spool"',
      'hikyaku.toml:2: constructor: unknown key, nearest known key "source"',
      'hikyaku.toml:4: source[0].name: found "constructor", expected a name of 1 to 100 letters, digits and _ . : -, beginning with a letter or a digit',
      'hikyaku.toml:6: smtp_listener[0].domains.__proto__: "__proto__" cannot stand in a table of domains',
      'hikyaku.toml:9: spool.toString: unknown key, nearest known key "path"',
    ],
  ],
  [
    "not TOML: the place of the first mistake",
    '[spool]\npath = "x"\npath = "y"\n',
    ["hikyaku.toml:3:1: not well-formed TOML: trying to redefine an already defined table or value"],
  ],
  ["not TOML: an open string", '[spool]\n  path = "x', ["hikyaku.toml:2:10: not well-formed TOML: unfinished string"]],
  [
    "a shaping file that is not there",
    '[shaping]\nfiles = [\n  "none.toml",\n]\n',
    ['hikyaku.toml:3: shaping.files[0]: file "none.toml" cannot be read (ENOENT)'],
  ],
];

for (const [name, toml, expected] of cases) {
  test(`wrong file: ${name}`, () => {
    assert.deepEqual(errorsOf(toml), expected);
    assert.deepEqual(errorsOf(toml.replaceAll("\n", "\r\n")), expected, "the same with CRLF line ends");
  });
}

test("wrong file: a byte that is not UTF-8 is found", () => {
  const bytes = Buffer.concat([Buffer.from("[spool]\npath = 'ok'\n# "), Buffer.from([0xff, 0xfe]), Buffer.from("\n")]);
  assert.deepEqual(errorsOf(bytes), ["hikyaku.toml:3: the file is not UTF-8"]);
});

test("wrong file: many errors are cut, and counted", () => {
  const toml = Array.from({ length: 250 }, (_, number) => `key${number} = 1\n`).join("");
  const errors = errorsOf(toml);
  assert.equal(errors.length, 101);
  assert.equal(errors.at(-1), "... and 150 more errors");
});
