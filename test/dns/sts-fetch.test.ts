import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { NetworkSet } from "../../src/base/cidr.js";
import { isPrivate } from "../../src/base/private-networks.js";
import type { MtaStsConfig } from "../../src/config/compiled.js";
import type { Lookup } from "../../src/dns/lookup.js";
import { policyFetcher } from "../../src/dns/sts-fetch.js";
import { makeCertificate } from "../support/peers/certificates.js";
import { PolicyHost, serve } from "../support/policy-host.js";

const POLICY = "version: STSv1\nmode: enforce\nmx: mx.d.example\nmax_age: 86400\n";
const dir = mkdtempSync(join(tmpdir(), "hikyaku-sts-"));
const authority = makeCertificate(dir, { name: "Closed network" });
const good = makeCertificate(dir, { name: "policy", hosts: ["mta-sts.d.example"], issuer: authority });
const stranger = makeCertificate(dir, { name: "policy", hosts: ["mta-sts.d.example"] });

let host: PolicyHost;
before(async () => {
  host = await PolicyHost.start(good, serve(POLICY));
});
after(async () => {
  await host.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** What a fetch for `domain` gives, in one line. */
async function fetched(
  changed: Partial<MtaStsConfig> = {},
  domain = "d.example",
  addresses = ["127.0.0.1"],
): Promise<string> {
  const config: MtaStsConfig = {
    enabled: true,
    timeoutMs: 5000,
    maxPolicies: 10,
    caFile: authority.certPath,
    allowedNetworks: ["127.0.0.0/8"],
    port: host.port,
    ...changed,
  };
  const lookup = async (name: string, type: string): Promise<Lookup> => {
    assert.equal(name, `mta-sts.${domain}`);
    if (type !== "A" || addresses.length === 0) return { kind: "nodata", ttlMs: 1000, authentic: false };
    const records = addresses.map((value) => ({ name, type: "A" as const, value, preference: 0, ttlMs: 1000 }));
    return { kind: "found", records, ttlMs: 1000, authentic: false };
  };
  const answer = await policyFetcher(config, { lookup })(domain);
  return answer.kind === "policy" ? answer.policy.mx.join() : `${answer.result}: ${answer.reason}`;
}

/** Runs with another script for the web server. */
async function withScript(script: PolicyHost["script"], use: () => Promise<void>): Promise<void> {
  host.script = script;
  try {
    await use();
  } finally {
    host.script = serve(POLICY);
  }
}

test("a policy comes from the well-known place, over a connection whose certificate is good", async () => {
  host.asked.length = 0;
  assert.equal(await fetched(), "mx.d.example");
  assert.deepEqual(host.asked, [`mta-sts.d.example:${host.port} /.well-known/mta-sts.txt`]);
  await withScript(
    serve(POLICY.replaceAll("\n", "\r\n"), { "content-type": "TEXT/PLAIN; charset=utf-8" }),
    async () => {
      assert.equal(await fetched(), "mx.d.example");
    },
  );
});

test("a certificate that is not trusted, or for another name, is none", async () => {
  assert.match(await fetched({ caFile: null }), /^sts-webpki-invalid: /);
  assert.match(await fetched({}, "other.example"), /^sts-webpki-invalid: .*ALTNAME/);
  const foreign = await PolicyHost.start(stranger, serve(POLICY));
  assert.match(await fetched({ port: foreign.port }), /^sts-webpki-invalid: /);
  assert.deepEqual(foreign.asked, []);
  await foreign.stop();
});

test("redirects, other answers than 200, other types, and no policy at all", async () => {
  const moved: PolicyHost["script"] = (_request, response) => {
    response.writeHead(302, { location: `https://mta-sts.d.example:${host.port}/other` });
    response.end();
  };
  const rows: readonly (readonly [PolicyHost["script"], RegExp])[] = [
    [moved, /^sts-policy-fetch-error: HTTP status 302$/],
    [(_request, response) => response.writeHead(404).end(POLICY), /^sts-policy-fetch-error: HTTP status 404$/],
    [(_request, response) => response.writeHead(203, { "content-type": "text/plain" }).end(POLICY), /HTTP status 203$/],
    [serve(POLICY, { "content-type": "text/html" }), /^sts-policy-fetch-error: not of type text\/plain$/],
    [serve(POLICY, { "content-type": "text/plainer" }), /not of type text\/plain$/],
    [serve(POLICY, {}), /not of type text\/plain$/],
    [serve("<html>"), /^sts-policy-invalid: a line is not/],
    [serve(`${POLICY}# ${"x".repeat(70_000)}`), /^sts-policy-fetch-error: more than 65536 bytes$/],
    [(request) => request.socket.destroy(), /^sts-policy-fetch-error: /],
  ];
  for (const [script, expected] of rows) {
    host.asked.length = 0;
    await withScript(script, async () => assert.match(await fetched(), expected));
    assert.equal(host.asked.length, 1, "nothing is followed or repeated");
  }
});

test("an endless body is cut, a slow one runs out of time, and so does silence", async () => {
  const endless: PolicyHost["script"] = (_request, response) => {
    response.writeHead(200, { "content-type": "text/plain" });
    const more = (): void => {
      while (!response.destroyed && response.write("x".repeat(4096)));
    };
    response.on("drain", more);
    more();
  };
  await withScript(endless, async () => assert.match(await fetched(), /more than 65536 bytes$/));
  const slow: PolicyHost["script"] = (_request, response) => {
    response.writeHead(200, { "content-type": "text/plain" });
    response.write(POLICY);
  };
  await withScript(slow, async () => {
    assert.equal(await fetched({ timeoutMs: 300 }), "sts-policy-fetch-error: no policy within 300 ms");
  });
  const mute = createServer(() => {}).listen(0, "127.0.0.1");
  await once(mute, "listening");
  const address = mute.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  assert.equal(await fetched({ timeoutMs: 300, port }), "sts-policy-fetch-error: no policy within 300 ms");
  mute.close();
});

test("private addresses are not connected to unless the configuration names their network", async () => {
  host.asked.length = 0;
  assert.match(await fetched({ allowedNetworks: [] }), /only private addresses \(127\.0\.0\.1\)$/);
  assert.match(await fetched({ allowedNetworks: ["10.0.0.0/8"] }), /only private addresses/);
  assert.match(await fetched({}, "d.example", []), /has no address$/);
  assert.deepEqual(host.asked, []);
  // Of several addresses only the others are tried.
  assert.equal(await fetched({}, "d.example", ["169.254.169.254", "127.0.0.1"]), "mx.d.example");
  const nowhere = new NetworkSet([]);
  const hidden = [
    "10.1.2.3",
    "172.31.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "255.255.255.255",
  ];
  const hidden6 = [
    "::1",
    "::",
    "fe80::1",
    "fd00::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::",
    "ff02::1",
    "::7f00:1",
  ];
  for (const one of [...hidden, ...hidden6]) assert.equal(isPrivate(one, nowhere), true, one);
  for (const one of ["8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"])
    assert.equal(isPrivate(one, nowhere), false, one);
});

test("a file of authorities that cannot be read or holds none is an error of the configuration", () => {
  const config = { enabled: true, timeoutMs: 1, maxPolicies: 1, allowedNetworks: [], port: 443 };
  const lookups = { lookup: async (): Promise<Lookup> => ({ kind: "nodata", ttlMs: 0, authentic: false }) };
  const empty = join(dir, "empty.pem");
  writeFileSync(empty, "nothing\n");
  assert.throws(() => policyFetcher({ ...config, caFile: join(dir, "missing.pem") }, lookups), {
    code: "config.unreadable",
  });
  assert.throws(() => policyFetcher({ ...config, caFile: empty }, lookups), { code: "config.invalid" });
});
