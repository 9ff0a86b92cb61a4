/**
 * MTA-STS from the policy host to delivery: policies come over HTTPS from a host of a closed network, Postfix receives.
 * Then the policy host is gone and the server starts again: what it knew still holds.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeCertificate, TestAuthority } from "../support/peers/certificates.js";
import { type MailHost, storedMail } from "../support/peers/mail-host.js";
import { startPostfix } from "../support/peers/postfix.js";
import {
  connectionsOf,
  handIn,
  keptReports,
  outcomeOf,
  PEER_PATH,
  startRelay,
  storedFor,
  testDir,
  tlsOf,
} from "../support/peers/relay.js";
import { PolicyHost } from "../support/policy-host.js";

type Host = "good" | "wrong" | "plain" | "tested";

interface Row {
  readonly domain: string;
  readonly host: Host;
  /** What its policy says; null for a domain that announces one and has none. */
  readonly policy: string | null;
  readonly mode: string;
  readonly outcome: "TLS" | "clear" | RegExp;
  /** What is kept for reports after two messages, each in a session of its own. */
  readonly report: string;
  /** The same after two more of a server that was started anew. */
  readonly after: string;
}

const policyOf = (mode: string, mx: string): string => `version: STSv1\nmode: ${mode}\nmx: ${mx}\nmax_age: 86400\n`;

const ROWS: readonly Row[] = [
  {
    domain: "good.example",
    host: "good",
    policy: policyOf("enforce", "mx.good.example"),
    // What is configured demands less; the policy wins.
    mode: "Disabled",
    outcome: "TLS",
    report: "sts 2/0",
    after: "sts 4/0",
  },
  {
    domain: "wrong.example",
    host: "wrong",
    policy: policyOf("enforce", "*.wrong.example"),
    mode: "OpportunisticInsecure",
    outcome: /TLS: its certificate is not for mx\.wrong\.example but for other\.example/,
    report: "sts 0/2 certificate-host-mismatch*2",
    after: "sts 0/4 certificate-host-mismatch*4",
  },
  {
    domain: "plain.example",
    host: "plain",
    policy: policyOf("enforce", "mx.plain.example"),
    mode: "OpportunisticInsecure",
    outcome: /TLS is required.*does not offer STARTTLS/,
    report: "sts 0/2 starttls-not-supported*2",
    after: "sts 0/4 starttls-not-supported*4",
  },
  {
    domain: "unlisted.example",
    host: "plain",
    policy: policyOf("enforce", "mx.good.example"),
    mode: "OpportunisticInsecure",
    outcome: /no MX host of unlisted\.example matches its MTA-STS policy/,
    report: "",
    after: "",
  },
  {
    domain: "tested.example",
    host: "tested",
    policy: policyOf("testing", "mx.tested.example"),
    mode: "OpportunisticInsecure",
    outcome: "TLS",
    report: "sts 0/2 certificate-host-mismatch*2",
    after: "sts 0/4 certificate-host-mismatch*4",
  },
  {
    domain: "none.example",
    host: "tested",
    policy: null,
    mode: "Disabled",
    outcome: "clear",
    report: "sts 0/1 sts-policy-fetch-error*1",
    // A policy that could not be had is asked for again by a new server.
    after: "sts 0/2 sts-policy-fetch-error*2",
  },
];

test("what policies demand is what mail hosts get, also after a restart without the policy host", {
  timeout: 120_000,
}, async (t) => {
  const dir = testDir(t);
  const authority = TestAuthority.root(dir);
  const closed = makeCertificate(dir, { name: "Closed network" });
  const names = ROWS.map(({ domain }) => `mta-sts.${domain}`);
  const identity = makeCertificate(dir, { name: "policies", hosts: names, issuer: closed });
  const of = (name: string) => startPostfix(t, { tls: { certificate: authority.issue({ names: [name] }) } });
  const [good, wrong, plain, tested] = await Promise.all([
    of("mx.good.example"),
    of("other.example"),
    startPostfix(t),
    of("other.example"),
  ]);
  if (good === null || wrong === null || plain === null || tested === null) return;
  const hosts: Readonly<Record<Host, MailHost>> = { good, wrong, plain, tested };
  const web = await PolicyHost.start(identity, (request, response) => {
    const row = ROWS.find(({ domain }) => request.headers.host?.startsWith(`mta-sts.${domain}:`) === true);
    response.writeHead(row?.policy == null ? 404 : 200, { "content-type": "text/plain" });
    response.end(row?.policy ?? "");
  });
  let up = true;
  t.after(() => (up ? web.stop() : undefined));
  const zone = ROWS.flatMap(({ domain, host }) => [
    `${domain}. 60 IN MX 10 mx.${domain}.`,
    `mx.${domain}. 60 IN A ${hosts[host].address}`,
    `_mta-sts.${domain}. 60 IN TXT "v=STSv1; id=1"`,
    `mta-sts.${domain}. 60 IN A 127.0.0.1`,
  ]);
  writeFileSync(join(dir, "hosts.zone"), `${zone.join("\n")}\n`);
  const paths = ROWS.map(({ domain, mode }) => `["${domain}"]\nenable_tls = "${mode}"\n`).join("");
  const config = {
    shaping: `["default"]\n${PEER_PATH}max_deliveries_per_connection = 1\ntls_trusted_certificates = "root.pem"\n${paths}`,
    more: `[dns]\nhosts_file = "hosts.zone"\nservers = ["127.0.0.1:9"]\ntimeout = "1s"
[mta_sts]\nca_file = "${closed.certPath}"\nallowed_networks = ["127.0.0.0/8"]\nport = ${web.port}\n`,
  };

  /** Two messages for each domain, and what became of them. */
  const round = async (first: string, second: string): Promise<void> => {
    const relay = await startRelay(t, dir, config);
    await handIn(
      relay.port,
      [first, second].flatMap((local) => ROWS.map(({ domain }) => `${local}@${domain}`)),
    );
    for (const { domain, host, outcome } of ROWS) {
      for (const recipient of [`${first}@${domain}`, `${second}@${domain}`]) {
        const record = await outcomeOf(dir, recipient);
        const text = JSON.stringify(record);
        if (outcome instanceof RegExp) {
          assert.equal(record.type, "TransientFailure", text);
          assert.match(record.response.content, outcome);
          continue;
        }
        assert.equal(record.type, "Delivery", text);
        assert.equal(tlsOf(record), outcome === "TLS" ? "TLSv1.3" : "clear", text);
        assert.match((await storedFor(hosts[host], recipient)).received, outcome === "TLS" ? /ESMTPS/ : /with ESMTP /);
      }
    }
    await relay.stop();
  };
  const reports = (which: "report" | "after"): string[] =>
    ROWS.flatMap((row) => (row[which] === "" ? [] : [`${row.domain} ${row[which]}`])).sort();

  await t.test("while the policy host serves", async () => {
    await round("a", "b");
    assert.deepEqual([...web.asked].sort(), names.map((name) => `${name}:${web.port} /.well-known/mta-sts.txt`).sort());
    assert.deepEqual(await keptReports(dir), reports("report"));
  });

  await t.test("after a restart, when it is gone", async () => {
    await web.stop();
    up = false;
    await round("c", "d");
    assert.deepEqual(await keptReports(dir), reports("after"));
  });

  await t.test("whose certificate or whose lack of TLS the policy forbids hears no command of a message", () => {
    for (const name of ["wrong", "plain"] as const) {
      assert.deepEqual(storedMail(hosts[name]), []);
      assert.doesNotMatch(hosts[name].log, /mail=|rcpt=|data=|from=</, name);
    }
    // Four sessions each; `plain` serves two domains, of which one never gets so far.
    assert.deepEqual([connectionsOf(wrong).length, connectionsOf(plain).length], [4, 4]);
  });
});
