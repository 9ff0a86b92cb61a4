import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Fault } from "../../src/base/fault.js";
import { findConfig, loadConfig } from "../../src/config/load.js";
import { readNodeId, withNodeId } from "../../src/config/node-id.js";
import { projectRoot } from "../support/root.js";
import { errorsOf, load, warningsOf, withFiles } from "./files.js";

test("an empty file is the sandbox with its defaults", () => {
  withFiles({ "hikyaku.toml": "" }, (directory) => {
    const { config, warnings, files } = loadConfig(join(directory, "hikyaku.toml"), {});
    assert.deepEqual(warnings, []);
    assert.deepEqual(files, [join(directory, "hikyaku.toml")]);
    assert.deepEqual(config.node, { hostname: hostname(), dataDir: join(directory, "var"), nodeId: "" });
    assert.deepEqual(config.threads, { workers: Math.max(1, availableParallelism() - 1), watchdogTimeoutMs: 30_000 });
    assert.deepEqual(config.delivery, { mode: "sandbox" });
    assert.deepEqual(config.spool, {
      path: join(directory, "var/spool"),
      durability: "flushed",
      deferredMemory: 67_108_864,
      deferredWaitMs: 200,
      minFreeSpace: { fraction: 0.1 },
      minFreeInodes: { fraction: 0.1 },
      maxMessages: 10_000_000,
      compactAfterMs: 600_000,
    });
    assert.deepEqual(config.dns, {
      servers: [],
      timeoutMs: 5000,
      dnssec: "off",
      hostsFile: null,
      hostsFileDigest: null,
      hostsFileSecure: false,
      maxConcurrent: 128,
      maxWaiting: 16_384,
      cacheEntries: 65_536,
      negativeTtlMs: 300_000,
    });
    assert.deepEqual(config.log, { dir: join(directory, "var/log"), maxFileSize: 1e9, maxSegmentDurationMs: null });
    assert.deepEqual([config.smtpListeners, config.httpListeners, config.queues], [[], [], []]);
    assert.deepEqual(Object.keys(config.sources), ["unspecified"]);
    assert.deepEqual(config.pools["unspecified"]?.entries, [{ name: "unspecified", weight: 1 }]);
    assert.ok(!existsSync(join(directory, "var")), "a check writes nothing");
  });
});

test("the shipped configuration is good, and says nothing that has to be warned of", () => {
  const { config, warnings, files } = loadConfig(join(projectRoot, "hikyaku.toml"), {});
  assert.deepEqual(warnings, []);
  assert.deepEqual(files, [join(projectRoot, "hikyaku.toml"), join(projectRoot, "shaping.toml")]);
  assert.equal(config.delivery.mode, "sandbox");
  assert.deepEqual(config.smtpListeners[0]?.listen, { host: "127.0.0.1", port: 2025 });
  assert.deepEqual(config.httpListeners[0]?.listen, { host: "127.0.0.1", port: 8000 });
  assert.equal(config.shaping.base.connectionLimit, 10);
  const lines = readFileSync(join(projectRoot, "hikyaku.toml"), "utf8").split("\n");
  assert.equal(lines[0], "#:schema ./schema/hikyaku.schema.json");
});

test("what is written is compiled: units, paths, names", () => {
  const { config } = load(
    `[node]
hostname = "mta1.example.com."
data_dir = "/srv/hikyaku"
node_id = "0198C0DE-5a5a-7000-8000-0123456789ab"
[threads]
workers = 3
[delivery]
mode = "live"
[spool]
path = "queue"
durability = "committed"
min_free_space = "2.5%"
min_free_inodes = 1000
max_messages = 5
[dns]
servers = ["127.0.0.1", "[::1]:5353", "::1"]
dnssec = "trust-ad"
timeout = 0.5
hosts_file = "hosts.zone"
[log]
dir = "/var/log/hikyaku"
max_file_size = "1MiB"
max_segment_duration = "1h"
[[smtp_listener]]
listen = "[::]:0"
hostname = "[192.0.2.1]"
trace_headers = { received_header = false }
[smtp_listener.domains."Example.COM"]
relay_to = true
[smtp_listener.domains."*"]
relay_from = ["192.0.2.0/24"]
[[smtp_listener]]
listen = "[::]:0"
[[source]]
name = "ip-1"
source_address = "192.0.2.1"
remote_port = 2525
[[pool]]
name = "main"
entries = [{ name = "ip-1" }, { name = "unspecified", weight = 0 }]
[[queue]]
match.domain = "Example.com"
egress_pool = "main"
protocol.smtp.mx_list = ["Smart.example:25", "[192.0.2.9]", "[IPv6:2001:db8::9]:26", "unix:/run/x", "/run/y", "10.0.0.1", { name = "a.example", addr = "192.0.2.7:2525" }, { name = "b.example:27", addr = "2001:db8::7" }]
[[queue]]
protocol = "null"
`,
    { "hosts.zone": "" },
  );
  assert.deepEqual(config.node, {
    hostname: "mta1.example.com",
    dataDir: "/srv/hikyaku",
    nodeId: "0198c0de-5a5a-7000-8000-0123456789ab",
  });
  assert.equal(config.threads.workers, 3);
  assert.deepEqual(config.spool, {
    path: "/srv/hikyaku/queue",
    durability: "committed",
    deferredMemory: 67_108_864,
    deferredWaitMs: 200,
    minFreeSpace: { fraction: 0.025 },
    minFreeInodes: { count: 1000 },
    maxMessages: 5,
    compactAfterMs: 600_000,
  });
  assert.deepEqual(config.dns.servers, [
    { host: "127.0.0.1", port: 53 },
    { host: "::1", port: 5353 },
    { host: "::1", port: 53 },
  ]);
  assert.equal(config.dns.timeoutMs, 500);
  assert.match(config.dns.hostsFile ?? "", /^\/.*\/hosts\.zone$/);
  assert.deepEqual(config.log, { dir: "/var/log/hikyaku", maxFileSize: 1_048_576, maxSegmentDurationMs: 3_600_000 });
  const [first, second] = config.smtpListeners;
  assert.deepEqual(first?.domains, {
    "example.com": { relayTo: true, relayFrom: [] },
    "*": { relayTo: false, relayFrom: ["192.0.2.0/24"] },
  });
  assert.deepEqual([first?.hostname, first?.receivedHeader], ["[192.0.2.1]", false]);
  assert.deepEqual([second?.hostname, second?.receivedHeader], ["mta1.example.com", true]);
  assert.deepEqual(config.sources["ip-1"], {
    name: "ip-1",
    sourceAddress: "192.0.2.1",
    ehloDomain: null,
    remotePort: 2525,
    proxy: null,
    freeBind: false,
    suspendWhenUnplumbed: null,
    suspendWhenProxyUnhealthy: null,
  });
  assert.equal(config.queues[0]?.domain, "example.com");
  const protocol = config.queues[0]?.options.protocol;
  assert.deepEqual(protocol?.kind === "smtp" ? protocol.mxList?.map((entry) => Object.values(entry)) : null, [
    ["smart.example", null, 25, null, "Smart.example:25"],
    ["192.0.2.9", "192.0.2.9", null, null, "[192.0.2.9]"],
    ["2001:db8::9", "2001:db8::9", 26, null, "[IPv6:2001:db8::9]:26"],
    ["/run/x", null, null, "/run/x", "unix:/run/x"],
    ["/run/y", null, null, "/run/y", "/run/y"],
    ["10.0.0.1", "10.0.0.1", null, null, "10.0.0.1"],
    ["a.example", "192.0.2.7", 2525, null, "192.0.2.7:2525"],
    ["b.example", "2001:db8::7", 27, null, "2001:db8::7"],
  ]);
  assert.deepEqual(config.queues[1]?.options, { protocol: { kind: "null" } });
});

test("the same configuration with another zone file is another configuration of DNS, and with the same one it is not", () => {
  const files = { "hikyaku.toml": '[dns]\nhosts_file = "hosts.zone"\n', "hosts.zone": "a.example. A 192.0.2.1\n" };
  withFiles(files, (directory) => {
    const read = () => loadConfig(join(directory, "hikyaku.toml"), {}).config.dns;
    const first = read();
    writeFileSync(join(directory, "hosts.zone"), files["hosts.zone"]);
    assert.deepEqual(read(), first);
    writeFileSync(join(directory, "hosts.zone"), "a.example. A 192.0.2.2\n");
    assert.notDeepEqual(read(), first);
  });
});

test("strings may come from the environment or from a file beside the configuration", () => {
  const toml = '[node]\nhostname = { env = "NAME" }\n[[smtp_listener]]\nbanner = { file = "secret/banner" }\n';
  const { config } = load(toml, { "secret/banner": "hello\r\n" }, { NAME: "a.example" });
  assert.equal(config.node.hostname, "a.example");
  assert.equal(config.smtpListeners[0]?.banner, "hello");
  const wrong = errorsOf('[node]\nhostname = { env = "NAME" }\n', {}, { NAME: "not a name" });
  assert.deepEqual(wrong, [
    'hikyaku.toml:2: node.hostname: found "not a name", expected a host name, such as "mta1.example.com"',
  ]);
  const odd = errorsOf('[node]\nhostname = { env = "constructor" }\n');
  assert.deepEqual(odd, ['hikyaku.toml:2: node.hostname: environment variable "constructor" is not set']);
});

test("proxies of sources, with their secrets from elsewhere", () => {
  const toml = `[delivery]
mode = "live"
[[source]]
name = "ha"
source_address = "192.0.2.7"
ha_proxy_server = "Proxy.example.:8025"
ha_proxy_source_address = "2001:db8::7"
ha_proxy_protocol = "v1"
[[source]]
name = "socks"
socks5_proxy_server = "[::1]:1080"
socks5_proxy_source_address = "192.0.2.8"
socks5_proxy_username = { env = "WHO" }
socks5_proxy_password = { file = "password" }
[[source]]
name = "plain"
socks5_proxy_server = "192.0.2.9:1080"
socks5_proxy_method = "connect"
[[source]]
name = "both"
ha_proxy_server = "192.0.2.9:8025"
ha_proxy_source_address = "192.0.2.9"
socks5_proxy_server = "192.0.2.9:1080"
socks5_proxy_source_address = "192.0.2.9"
`;
  const files = { password: "pä ss\n" };
  const sandbox = load(toml.replace(`"live"`, `"sandbox"`), files, { WHO: "mta" });
  assert.deepEqual(
    Object.values(sandbox.config.sources).map((source) => source.proxy),
    [null, null, null, null, null],
  );
  assert.equal(sandbox.warnings.filter((one) => one.message === "its proxy is not used in the sandbox").length, 4);
  const { config, warnings } = load(toml, files, { WHO: "mta" });
  const proxyOf = (name: string) => config.sources[name]?.proxy;
  assert.deepEqual(proxyOf("ha"), {
    protocol: "haproxy",
    server: { host: "proxy.example", port: 8025 },
    sourceAddress: "2001:db8::7",
    version: 1,
  });
  assert.deepEqual(proxyOf("socks"), {
    protocol: "socks5",
    server: { host: "::1", port: 1080 },
    sourceAddress: "192.0.2.8",
    credentials: { username: "mta", password: "pä ss" },
  });
  assert.deepEqual(proxyOf("plain"), {
    protocol: "socks5",
    server: { host: "192.0.2.9", port: 1080 },
    sourceAddress: null,
    credentials: null,
  });
  const ha = proxyOf("both");
  assert.deepEqual([ha?.protocol, ha?.protocol === "haproxy" ? ha.version : null], ["haproxy", 2]);
  assert.deepEqual(
    warnings.map(({ key, message }) => `${key}: ${message}`).filter((line) => line.startsWith("source")),
    ['source[3].socks5_proxy_server: without effect, "ha_proxy_server" wins'],
  );
});

test("a byte order mark, letters of all alphabets and CRLF are good", () => {
  const { config } = load('\ufeff# \u98db\u811a\r\n[[smtp_listener]]\r\nbanner = "\u98db\u811a \u{1F4E8}"\r\n');
  assert.equal(config.smtpListeners[0]?.banner, "\u98db\u811a \u{1F4E8}");
});

test("things that are not in force yet are warned of, unless they ask for what happens anyway", () => {
  const toml = `[[queue]]
max_message_rate = "100/s"
[log]
compression_level = 3
[delivery]
mode = "live"
[node]
hostname = "mta"
[[pool]]
name = "p"
entries = [{ name = "unspecified", weight = 0 }]
[[smtp_listener]]
batch_handling = "BifurcateAlways"
require_proxy_protocol = false
`;
  assert.deepEqual(warningsOf(toml), [
    "hikyaku.toml:2: warning: queue[0].max_message_rate: not in force in this version",
    "hikyaku.toml:4: warning: log.compression_level: not in force in this version",
    'hikyaku.toml:8: warning: node.hostname: "mta" has no domain; receivers will want a full name',
    "hikyaku.toml:11: warning: pool[0].entries: no source has a weight above 0",
  ]);
});

test("names of the prototype change nothing for anybody", () => {
  assert.throws(() =>
    load('[__proto__]\npolluted = true\n[[source]]\n"__proto__" = { polluted = true }\nname = "x"\n'),
  );
  assert.equal(Reflect.get({}, "polluted"), undefined);
  const { config } = load('[[queue]]\nmatch = { domain = "constructor", tenant = "__proto__" }\n');
  assert.deepEqual(config.queues[0], { domain: "constructor", tenant: "__proto__", campaign: "*", options: {} });
});

test("files that are missing, directories, or too large cannot be read", () => {
  withFiles({ "large.toml": `# ${"x".repeat(2 * 1024 * 1024)}`, "directory/x": "" }, (directory) => {
    for (const [name, errno] of [
      ["missing.toml", "ENOENT"],
      ["large.toml", "EFBIG"],
      ["directory", "EISDIR"],
    ] as const) {
      assert.throws(
        () => loadConfig(join(directory, name), {}),
        (error) => error instanceof Fault && error.code === "config.unreadable" && error.errno === errno,
        name,
      );
    }
  });
});

test("deep nesting is refused, not followed", () => {
  assert.match(errorsOf(`x = ${"[".repeat(100)}${"]".repeat(100)}\n`)[0] ?? "", /^hikyaku.toml:1:\d+: not well-formed/);
  const dotted = `${"a.".repeat(5000)}b = 1\n`;
  assert.match(errorsOf(dotted)[0] ?? "", /^hikyaku.toml:1: a: unknown key/);
});

test("the node's id is made once and kept", () => {
  withFiles({ "hikyaku.toml": "" }, (directory) => {
    const path = join(directory, "hikyaku.toml");
    const first = withNodeId(loadConfig(path, {}).config);
    assert.match(first.node.nodeId, /^[0-9a-f-]{36}$/);
    assert.equal(readFileSync(join(directory, "var/node-id"), "utf8"), `${first.node.nodeId}\n`);
    assert.equal(loadConfig(path, {}).config.node.nodeId, first.node.nodeId);
    // Whoever loaded before the id was there, and comes second, takes the one that is there.
    const late = { ...first, node: { ...first.node, nodeId: "" } };
    assert.equal(withNodeId(late).node.nodeId, first.node.nodeId);
  });
});

test("a damaged id is an error of the configuration, never replaced", () => {
  withFiles({ "hikyaku.toml": "", "var/node-id": "" }, (directory) => {
    assert.throws(() => readNodeId(join(directory, "var")), /does not hold a UUID/);
    assert.throws(() => loadConfig(join(directory, "hikyaku.toml"), {}), /node\.data_dir: .*does not hold a UUID/);
  });
});

test("an id that cannot be kept is a fault", () => {
  withFiles({ "hikyaku.toml": '[node]\ndata_dir = "file"\n', file: "" }, (directory) => {
    const { config } = loadConfig(join(directory, "hikyaku.toml"), {});
    assert.throws(
      () => withNodeId(config),
      (error) => error instanceof Fault && error.code === "file.unwritable",
    );
  });
});

test("where the configuration is looked for", () => {
  const env = { HIKYAKU_CONFIG: "/from/env.toml" };
  assert.equal(findConfig(["start", "--config", "a.toml"], env), "a.toml");
  assert.equal(findConfig(["start", "--config=b.toml"], env), "b.toml");
  assert.equal(findConfig(["start"], env), "/from/env.toml");
  withFiles({ "hikyaku.toml": "" }, (directory) => {
    const before = process.cwd();
    try {
      process.chdir(directory);
      assert.equal(findConfig([], {}), "./hikyaku.toml");
      mkdirSync("empty");
      process.chdir("empty");
      assert.equal(findConfig([], {}), "/etc/hikyaku/hikyaku.toml");
      writeFileSync("hikyaku.toml", "");
      assert.equal(findConfig(["--config"], {}), "./hikyaku.toml");
    } finally {
      process.chdir(before);
    }
  });
});
