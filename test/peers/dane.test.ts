/**
 * DANE from DNS to delivery: NSD serves signed zones, Unbound validates them, Postfix receives. What is demanded is seen in
 * the outcome, in the log, at Postfix, and in the counts for reports.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type CertificateFiles, TestAuthority, tlsaData } from "../support/peers/certificates.js";
import { type MailHost, storedMail } from "../support/peers/mail-host.js";
import { startPostfix } from "../support/peers/postfix.js";
import { PEER_PORT } from "../support/peers/program.js";
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
import { canSign, SignedWorld } from "./dnssec.js";

/** Digest of nobody's certificate, and a record whose signature is broken after signing. */
const STRANGER = "ab".repeat(32);
const FORGED = "0123456789abcdef".repeat(4);

/** The mail hosts: each has a certificate that no authority vouches for, but `issued`. */
type Host = "self" | "issued" | "refused" | "plain" | "untouched" | "insecure";

interface Row {
  readonly domain: string;
  readonly hosts: readonly Host[];
  /** TLSA records of each host, as `usage selector matching data`; `self`, `anchor` stand for the digests. */
  readonly tlsa: readonly (readonly string[])[];
  readonly mode: string;
  readonly zone?: "signed.test" | "insecure.test";
  readonly outcome: "TLS" | "clear" | RegExp;
  /** What is kept for reports, without the domain. */
  readonly report: string | null;
}

const ROWS: readonly Row[] = [
  {
    domain: "match",
    hosts: ["self"],
    tlsa: [["3 1 1 self"]],
    // What is configured does not matter: the record demands more, and no authority is asked.
    mode: "Disabled",
    outcome: "TLS",
    report: "tlsa 2/0",
  },
  {
    domain: "anchor",
    hosts: ["issued"],
    tlsa: [["2 0 1 anchor"]],
    mode: "Required",
    outcome: "TLS",
    report: "tlsa 2/0",
  },
  {
    domain: "one-of",
    hosts: ["self"],
    tlsa: [[`3 1 1 ${STRANGER}`, "3 1 1 self"]],
    mode: "Opportunistic",
    outcome: "TLS",
    report: "tlsa 2/0",
  },
  {
    domain: "mismatch",
    hosts: ["refused"],
    tlsa: [[`3 1 1 ${STRANGER}`]],
    mode: "OpportunisticInsecure",
    outcome: /TLS: .*TLSA/,
    report: "tlsa 0/2 validation-failure*2",
  },
  {
    domain: "next-host",
    hosts: ["refused", "self"],
    tlsa: [[`3 1 1 ${STRANGER}`], ["3 1 1 self"]],
    mode: "OpportunisticInsecure",
    outcome: "TLS",
    report: "tlsa 2/2 validation-failure*2",
  },
  {
    domain: "no-starttls",
    hosts: ["plain"],
    tlsa: [["3 1 1 self"]],
    mode: "Opportunistic",
    outcome: /TLS is required.*does not offer STARTTLS/,
    report: "tlsa 0/2 starttls-not-supported*2",
  },
  {
    domain: "unusable",
    hosts: ["self"],
    tlsa: [[`0 0 1 ${STRANGER}`]],
    mode: "Disabled",
    outcome: "TLS",
    report: "tlsa 0/2 tlsa-invalid*2",
  },
  {
    domain: "unusable-plain",
    hosts: ["plain"],
    tlsa: [[`0 0 1 ${STRANGER}`]],
    mode: "Disabled",
    outcome: /TLS is required.*does not offer STARTTLS/,
    report: "tlsa 0/2 starttls-not-supported*2",
  },
  {
    domain: "bogus-tlsa",
    hosts: ["untouched"],
    tlsa: [[`3 1 1 ${FORGED}`]],
    mode: "Disabled",
    outcome: /TLSA records of this host cannot be had \(TLSA: server failure\)/,
    report: "tlsa 0/2 dnssec-invalid*2",
  },
  {
    domain: "bogus-mx",
    hosts: ["untouched"],
    tlsa: [[]],
    mode: "Disabled",
    outcome: /MX of bogus-mx\.signed\.test: server failure/,
    report: null,
  },
  { domain: "no-record", hosts: ["insecure"], tlsa: [[]], mode: "Disabled", outcome: "clear", report: null },
  {
    domain: "off",
    hosts: ["insecure"],
    tlsa: [[`3 1 1 ${STRANGER}`]],
    mode: "Disabled",
    zone: "insecure.test",
    outcome: "clear",
    report: null,
  },
  {
    domain: "as-configured",
    hosts: ["insecure"],
    tlsa: [[`3 1 1 ${STRANGER}`]],
    mode: "OpportunisticInsecure",
    zone: "insecure.test",
    outcome: "TLS",
    report: "no-policy-found 2/0",
  },
];

const nameOf = ({ domain, zone = "signed.test" }: Row): string => `${domain}.${zone}`;

async function startHosts(t: TestContext, self: CertificateFiles, issued: CertificateFiles) {
  const own = (certificate: CertificateFiles) => startPostfix(t, { tls: { certificate } });
  const [a, b, c, d, e, f] = await Promise.all([
    own(self),
    own(issued),
    own(self),
    startPostfix(t),
    own(self),
    own(self),
  ]);
  if (a === null || b === null || c === null || d === null || e === null || f === null) return null;
  return { self: a, issued: b, refused: c, plain: d, untouched: e, insecure: f } satisfies Record<Host, MailHost>;
}

/** The records of one zone. */
function recordsOf(zone: string, hosts: Record<Host, MailHost>, digests: Readonly<Record<string, string>>): string {
  return ROWS.filter((row) => nameOf(row).endsWith(zone))
    .flatMap(({ domain, hosts: names, tlsa }) => [
      // Bogus: another number in front of the host's name than was signed.
      ...names.map((_, at) => `${domain} MX ${domain === "bogus-mx" ? 66 : 10 + at} mx${at}.${domain}`),
      ...names.map((name, at) => `mx${at}.${domain} A ${hosts[name].address}`),
      ...tlsa.flatMap((records, at) =>
        records.map((record) => {
          const data = record.replace(/[a-z]+$/, (name) => digests[name] ?? name);
          return `_${PEER_PORT}._tcp.mx${at}.${domain} TLSA ${data}`;
        }),
      ),
    ])
    .join("\n");
}

test("what signed zones demand is what mail hosts get", { timeout: 120_000 }, async (t) => {
  if (!canSign(t)) return;
  const dir = testDir(t);
  const self = TestAuthority.selfSigned(dir, "whoever.example");
  const middle = TestAuthority.root(dir).under("middle");
  const issued = middle.issue({ names: ["mx0.anchor.signed.test"] });
  const hosts = await startHosts(t, self, issued);
  if (hosts === null) return;
  const digests = { self: tlsaData(self.chain, 1, 1), anchor: tlsaData(middle.certificate, 0, 1) };
  const world = await SignedWorld.start([
    {
      name: "signed.test",
      signed: true,
      records: `${recordsOf("signed.test", hosts, digests)}\n`,
      forged: { [FORGED]: "f".repeat(64), "66 mx0": "67 mx0" },
    },
    { name: "insecure.test", signed: false, records: `${recordsOf("insecure.test", hosts, digests)}\n` },
  ]);
  t.after(() => world.stop());
  const paths = ROWS.map((row) => `["${nameOf(row)}"]\nenable_tls = "${row.mode}"\n`).join("");
  const relay = await startRelay(t, dir, {
    // A session for each message, so that each is asked what it demands.
    shaping: `["default"]\n${PEER_PATH}enable_dane = true\nmax_deliveries_per_connection = 1\n${paths}`,
    more: `[dns]\nservers = ["127.0.0.1:${world.resolver.port}"]\ndnssec = "trust-ad"\n[mta_sts]\nenabled = false\n`,
  });
  const recipients = ROWS.flatMap((row) => [`a@${nameOf(row)}`, `b@${nameOf(row)}`]);
  await handIn(relay.port, recipients);
  for (const row of ROWS) {
    await t.test(`${row.domain}: ${row.outcome}`, async () => {
      for (const local of ["a", "b"]) {
        const recipient = `${local}@${nameOf(row)}`;
        const record = await outcomeOf(dir, recipient);
        const text = JSON.stringify(record);
        if (row.outcome instanceof RegExp) {
          assert.equal(record.type, "TransientFailure", text);
          assert.match(record.response.content, row.outcome);
          continue;
        }
        assert.equal(record.type, "Delivery", text);
        assert.equal(tlsOf(record), row.outcome === "TLS" ? "TLSv1.3" : "clear", text);
        const host = hosts[row.hosts.at(-1)!];
        assert.match(
          (await storedFor(host, recipient)).received,
          row.outcome === "TLS" ? /using TLSv1\.3.* with ESMTPS/s : /with ESMTP /,
        );
      }
    });
  }

  await t.test("whom the records do not prove hears no command of a message, in clear or not", () => {
    for (const name of ["refused", "plain", "untouched"] as const) {
      assert.deepEqual(storedMail(hosts[name]), []);
      assert.doesNotMatch(hosts[name].log, /mail=|rcpt=|data=|from=</, name);
    }
    assert.match(connectionsOf(hosts.refused)[0] ?? "", /^ehlo=1 starttls=1/);
    assert.doesNotMatch(hosts.untouched.log, /connect from/);
  });

  await t.test("each domain's sessions are counted for its reports, and kept", async () => {
    await relay.stop();
    const expected = ROWS.flatMap((row) => (row.report === null ? [] : [`${nameOf(row)} ${row.report}`]));
    assert.deepEqual(await keptReports(dir), expected.sort());
  });
});
