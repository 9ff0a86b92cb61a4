import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { daneMatches } from "../../src/dns/dane-match.js";
import { subjectPublicKeyInfo } from "../../src/dns/der.js";
import type { TlsaRecord } from "../../src/protocol/tls-policy.js";
import { type Identity, makeCertificate } from "../support/peers/certificates.js";

const dir = mkdtempSync(join(tmpdir(), "hikyaku-dane-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const root = makeCertificate(dir, { name: "Root" });
const middle = makeCertificate(dir, { name: "Middle", issuer: root });
const leaf = makeCertificate(dir, { name: "leaf", hosts: ["mx.example", "*.wild.example"], issuer: middle });
const otherRoot = makeCertificate(dir, { name: "Root", rsa: true });
const self = makeCertificate(dir, { name: "self", hosts: ["elsewhere.example"], rsa: true });

/** A moment in which every certificate that a test makes is valid. */
const NOW = Date.now() + 60_000;
const LATER = NOW + 60 * 86_400_000;
const CHAIN = der(leaf, middle, root);

function der(...identities: readonly Identity[]): readonly Uint8Array[] {
  return identities.map((one) => one.certificate.raw);
}

/** The TLSA record that names a certificate. */
function tlsa(usage: number, selector: number, matching: number, of: Identity): TlsaRecord {
  const { raw, publicKey } = of.certificate;
  const selected = selector === 0 ? raw : publicKey.export({ type: "spki", format: "der" });
  const data =
    matching === 0
      ? selected
      : createHash(matching === 1 ? "sha256" : "sha512")
          .update(selected)
          .digest();
  return { usage, selector, matching, data };
}

function verdict(records: readonly TlsaRecord[], chain = CHAIN, names = ["mx.example"], nowMs = NOW): string {
  const match = daneMatches(records, names, chain, nowMs);
  return match.kind === "match" ? `match ${match.usage}` : match.result;
}

test("usage 3 names the server's certificate or key; its name, its dates and its issuer do not count", () => {
  for (const selector of [0, 1]) {
    for (const matching of [0, 1, 2]) {
      const what = `3 ${selector} ${matching}`;
      assert.equal(verdict([tlsa(3, selector, matching, leaf)]), "match 3", what);
      assert.equal(verdict([tlsa(3, selector, matching, self)], der(self), ["mx.example"], LATER), "match 3", what);
      assert.equal(verdict([tlsa(3, selector, matching, self)]), "validation-failure", what);
      // An authority's record with usage 3 is not the server's.
      assert.equal(verdict([tlsa(3, selector, matching, middle)]), "validation-failure", what);
    }
  }
});

test("usage 2 names an authority above the server, whose certificate must be for the host and in its time", () => {
  for (const selector of [0, 1]) {
    for (const matching of [0, 1, 2]) {
      const what = `2 ${selector} ${matching}`;
      for (const anchor of [middle, root]) {
        const record = tlsa(2, selector, matching, anchor);
        assert.equal(verdict([record]), "match 2", what);
        assert.equal(verdict([record], CHAIN, ["other.example"]), "certificate-host-mismatch", what);
        assert.equal(verdict([record], CHAIN, ["other.example", "MX.example"]), "match 2", what);
        assert.equal(verdict([record], CHAIN, ["a.wild.example"]), "match 2", what);
        assert.equal(verdict([record], CHAIN, ["a.b.wild.example"]), "certificate-host-mismatch", what);
        assert.equal(verdict([record], CHAIN, ["mx.example"], LATER), "certificate-expired", what);
        assert.equal(verdict([record], CHAIN, ["mx.example"], NOW - LATER), "certificate-expired", what);
      }
      assert.equal(verdict([tlsa(2, selector, matching, otherRoot)]), "certificate-not-trusted", what);
      // The server's own certificate is no authority.
      assert.equal(verdict([tlsa(2, selector, matching, leaf)]), "certificate-not-trusted", what);
    }
  }
});

test("the order of what was sent does not count, but every link must be there and signed", () => {
  const record = tlsa(2, 0, 1, root);
  assert.equal(verdict([record], der(leaf, root, middle)), "match 2");
  assert.equal(verdict([record], der(leaf, root)), "certificate-not-trusted");
  assert.equal(verdict([record], der(leaf, middle)), "certificate-not-trusted");
  // The same name, another key.
  assert.equal(verdict([tlsa(2, 0, 1, otherRoot)], der(leaf, middle, otherRoot)), "certificate-not-trusted");
});

test("a certificate of the right name with another key has signed nothing, and a server's own signs nobody else's", () => {
  const twin = makeCertificate(dir, { name: "Root" });
  const child = makeCertificate(dir, { name: "child", hosts: ["mx.example"], issuer: root, unlinked: true });
  assert.equal(verdict([tlsa(2, 0, 1, root)], der(child, root)), "match 2");
  assert.ok(child.certificate.checkIssued(twin.certificate), "names alone do not tell them apart");
  assert.equal(verdict([tlsa(2, 0, 1, twin)], der(child, twin)), "certificate-not-trusted");
  const thief = makeCertificate(dir, { name: "thief", hosts: ["thief.example"], issuer: root });
  const stolen = makeCertificate(dir, { name: "stolen", hosts: ["mx.example"], issuer: thief });
  assert.equal(verdict([tlsa(2, 0, 1, root)], der(stolen, thief, root)), "certificate-not-trusted");
});

test("an authority that is not sent counts when the record holds all of it", () => {
  assert.equal(verdict([tlsa(2, 0, 0, root)], der(leaf, middle)), "match 2");
  assert.equal(verdict([tlsa(2, 1, 0, root)], der(leaf, middle)), "match 2");
  assert.equal(verdict([tlsa(2, 1, 0, otherRoot)], der(leaf, middle)), "certificate-not-trusted");
  assert.equal(verdict([{ usage: 2, selector: 0, matching: 0, data: Buffer.from("x") }]), "certificate-not-trusted");
});

test("one record that matches is enough; no chain is none", () => {
  assert.equal(verdict([tlsa(2, 0, 1, otherRoot), tlsa(3, 1, 1, self), tlsa(3, 1, 1, leaf)]), "match 3");
  assert.equal(verdict([tlsa(3, 1, 1, leaf)], []), "validation-failure");
  assert.equal(verdict([tlsa(3, 1, 1, leaf)], [Buffer.from("no certificate")]), "validation-failure");
  assert.equal(verdict([], CHAIN), "validation-failure");
});

test("many authorities that all sign each other are looked at once each", () => {
  const crowd = Array.from({ length: 8 }, () => otherRoot);
  const begun = performance.now();
  assert.equal(verdict([tlsa(2, 0, 1, middle)], der(self, ...crowd, ...crowd)), "certificate-not-trusted");
  assert.ok(performance.now() - begun < 500);
});

test("the key's bytes are found in certificates, and no bytes make the search throw", () => {
  for (const { certificate } of [root, leaf, self]) {
    const key = certificate.publicKey.export({ type: "spki", format: "der" });
    assert.deepEqual(subjectPublicKeyInfo(certificate.raw), key);
  }
  const raw = leaf.certificate.raw;
  const changes = fc.array(fc.tuple(fc.nat(raw.length - 1), fc.nat(255)), { maxLength: 8 });
  fc.assert(
    fc.property(changes, fc.nat(raw.length), (list, length) => {
      const damaged = Buffer.from(raw);
      for (const [at, value] of list) damaged[at] = value;
      subjectPublicKeyInfo(damaged.subarray(0, length));
      const unchanged = length === raw.length && damaged.equals(raw);
      const match = daneMatches([tlsa(3, 0, 1, leaf)], ["mx.example"], [damaged.subarray(0, length)], NOW);
      assert.equal(match.kind === "match", unchanged);
    }),
  );
});
