import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { SystemClock } from "../../src/base/clock.js";
import type { CompiledConfig } from "../../src/config/compiled.js";
import { loadConfig } from "../../src/config/load.js";
import { QUEUE_DEFAULTS } from "../../src/config/queue-settings.js";
import { POLICY_FILE } from "../../src/dns/open-policies.js";
import { MxRouter } from "../../src/dns/router.js";
import type { Route } from "../../src/protocol/messages.js";
import { parseQueueName } from "../../src/protocol/queue-name.js";
import type { TlsOutcome } from "../../src/protocol/tls-policy.js";
import { makeCertificate } from "../support/peers/certificates.js";
import { PolicyHost, serve } from "../support/policy-host.js";

const dir = mkdtempSync(join(tmpdir(), "hikyaku-router-"));
after(() => rmSync(dir, { recursive: true, force: true }));
const authority = makeCertificate(dir, { name: "Closed network" });
const hosts = ["mta-sts.d.example", "mta-sts.sibling.example", "mta-sts.late.example"];
const identity = makeCertificate(dir, { name: "policies", hosts, issuer: authority });

const ZONE = `$ORIGIN example.
d MX 10 mx.d
d MX 20 mx.elsewhere
_mta-sts.d TXT "v=STSv1; id=1"
mta-sts.d A 127.0.0.1
sibling MX 10 mx.d
_mta-sts.sibling TXT "v=STSv1; id=1"
mta-sts.sibling A 10.0.0.1
quiet MX 10 mx.d
late MX 10 mx.d
late MX 20 mx.elsewhere
mx.d A 192.0.2.1
`;
writeFileSync(join(dir, "hosts.zone"), ZONE);

function config(port: number, more = ""): CompiledConfig {
  const path = join(dir, "hikyaku.toml");
  writeFileSync(
    path,
    `[node]
data_dir = "var"
[delivery]
mode = "live"
[dns]
hosts_file = "hosts.zone"
hosts_file_secure = true
servers = ["127.0.0.1:9"]
timeout = "1s"
[mta_sts]
ca_file = "${authority.certPath}"
allowed_networks = ["127.0.0.0/8"]
port = ${port}
${more}`,
  );
  const loaded = loadConfig(path);
  return loaded.config;
}

interface Opened {
  readonly router: MxRouter;
  readonly reported: TlsOutcome[];
}

function open(of: CompiledConfig): Opened {
  const reported: TlsOutcome[] = [];
  const router = new MxRouter(of, new SystemClock(), null, {
    afterwards() {},
    notice: (line) => assert.fail(line),
    report: (outcome) => reported.push(outcome),
  });
  return { router, reported };
}

/** `hosts sts secure` of a domain's route, or why there is none. */
async function routeOf({ router }: Opened, domain: string): Promise<string> {
  const route = await new Promise<Route>((resolve) => router.route(parseQueueName(domain), QUEUE_DEFAULTS, resolve));
  if (route.kind === "failed") return route.reason;
  return route.kind === "hosts" ? `${route.hosts.map((host) => host.name)} ${route.sts} ${route.secure}` : route.kind;
}

test("policies: fetched, obeyed, kept over a restart without the policy host, and switched off", async () => {
  const host = await PolicyHost.start(
    identity,
    serve("version: STSv1\nmode: enforce\nmx: *.d.example\nmax_age: 86400\n"),
  );
  const first = open(config(host.port));
  assert.equal(await routeOf(first, "d.example"), "mx.d.example enforce true");
  assert.equal(await first.router.site("d.example"), "mx.d.example");
  // Its policy host is where nobody may be asked: no policy, and its own affair.
  assert.equal(await routeOf(first, "sibling.example"), "mx.d.example none true");
  assert.equal(await routeOf(first, "quiet.example"), "mx.d.example none true");
  assert.deepEqual(
    first.reported.map((one) => [one.domain, one.result, one.detail]),
    [["sibling.example", "sts-policy-fetch-error", "mta-sts.sibling.example has only private addresses (10.0.0.1)"]],
  );
  assert.equal(host.asked.length, 1);
  await first.router.stop();
  await host.stop();
  assert.ok(existsSync(join(dir, "var", POLICY_FILE)));

  const second = open(config(host.port));
  assert.equal(await routeOf(second, "d.example"), "mx.d.example enforce true");
  await second.router.stop();

  const off = open(config(host.port, "enabled = false\n"));
  assert.equal(await routeOf(off, "d.example"), "mx.d.example,mx.elsewhere.example none true");
  await off.router.stop();
});

test("a policy that none of the hosts matches fails its domain and no other", async () => {
  const host = await PolicyHost.start(identity, serve("version: STSv1\nmode: enforce\nmx: other.test\nmax_age: 60\n"));
  rmSync(join(dir, "var"), { recursive: true, force: true });
  const opened = open(config(host.port));
  assert.equal(await routeOf(opened, "d.example"), "no MX host of d.example matches its MTA-STS policy");
  assert.equal(await routeOf(opened, "quiet.example"), "mx.d.example none true");
  await opened.router.stop();
  await host.stop();
});

test("a reload that brings other answers of DNS brings them to the policies, too", async () => {
  const policy = serve("version: STSv1\nmode: enforce\nmx: *.d.example\nmax_age: 86400\n");
  const host = await PolicyHost.start(identity, policy);
  const opened = open(config(host.port));
  assert.equal(await routeOf(opened, "late.example"), "mx.d.example,mx.elsewhere.example none true");
  writeFileSync(join(dir, "hosts.zone"), `${ZONE}_mta-sts.late TXT "v=STSv1; id=1"\nmta-sts.late A 127.0.0.1\n`);
  assert.equal(await opened.router.reconfigure(config(host.port).dns), true);
  assert.equal(await routeOf(opened, "late.example"), "mx.d.example enforce true");
  await opened.router.stop();
  await host.stop();
});

test("listed hosts are secure when the queue says so", async () => {
  const { router } = open(config(443));
  const entry = { name: "relay.example", address: null, port: null, unix: null, written: "relay.example" };
  const list = [entry];
  const ask = (listSecure: boolean, mxList = list) =>
    new Promise<Route>((resolve) => {
      const queue = { ...QUEUE_DEFAULTS, protocol: { kind: "smtp", mxList, listSecure } as const };
      router.route(parseQueueName("d.example"), queue, resolve);
    });
  const [plain, secure] = [await ask(false), await ask(true)];
  assert.ok(plain.kind === "hosts" && secure.kind === "hosts");
  assert.deepEqual([plain.secure, secure.secure, plain.sts, secure.sts], [false, true, "none", "none"]);
  assert.notEqual(plain.key, secure.key);
  await router.stop();
});
