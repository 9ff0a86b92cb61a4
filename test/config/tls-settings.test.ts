/** Settings about TLS and authentication: what is taken, what it becomes, and how what is wrong is told. */
import assert from "node:assert/strict";
import { constants } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Fault } from "../../src/base/fault.js";
import type { PathConfig } from "../../src/config/compiled.js";
import { loadConfig } from "../../src/config/load.js";
import { cipherText, DEFAULT_SUITES, opensslOptionBits } from "../../src/config/tls-options.js";
import { selfSigned } from "../../src/sink/certificate.js";

const dir = mkdtempSync(join(tmpdir(), "hikyaku-test-"));
after(() => rmSync(dir, { recursive: true }));

const { certificate, key } = selfSigned(["mta.example.org"], Date.now());
writeFileSync(join(dir, "cert.pem"), certificate);
writeFileSync(join(dir, "key.pem"), key);
writeFileSync(join(dir, "not.pem"), "-----BEGIN NOTHING-----\n");
writeFileSync(join(dir, "password"), "sécret\n");
writeFileSync(
  join(dir, "hikyaku.toml"),
  '[node]\nhostname = "mta.example.org"\n[shaping]\nfiles = ["shaping.toml"]\n[[smtp_listener]]\nlisten = "127.0.0.1:0"\n',
);

/** The default's options of a shaping file with these lines, or what is wrong with it. */
function read(lines: string): Partial<PathConfig> | string {
  writeFileSync(join(dir, "shaping.toml"), `["default"]\n${lines}\n`);
  try {
    return loadConfig(join(dir, "hikyaku.toml")).config.shaping.base;
  } catch (error) {
    assert.ok(error instanceof Fault);
    return error.message.replaceAll(`${dir}/`, "");
  }
}

test("everything about TLS and who we are is read", () => {
  const lines = `
enable_tls = "Required"
tls_minimum_version = "TLSv1.3"
tls_certificate = "cert.pem"
tls_private_key = { file = "key.pem" }
tls_trusted_certificates = "./cert.pem"
openssl_cipher_list = "ECDHE+AESGCM:!aNULL"
openssl_cipher_suites = "TLS_AES_128_GCM_SHA256"
openssl_options = "NO_TICKET | SSL_OP_NO_TLSv1_3"
rustls_cipher_suites = ["TLS13_AES_256_GCM_SHA384"]
tls_prefer_openssl = true
remember_broken_tls = "3d"
opportunistic_tls_reconnect_on_failed_handshake = true
starttls_timeout = "7s"
auth_timeout = "8s"
smtp_auth_plain_username = "me"
smtp_auth_plain_password = { file = "password" }
smtp_auth_token_file = "token"
allow_smtp_auth_plain_without_tls = true
allow_smtp_auth_plain_without_valid_certificate = true`;
  assert.deepEqual(read(lines), {
    enableTls: "Required",
    tlsMinimumVersion: "TLSv1.3",
    tlsCertificate: join(dir, "cert.pem"),
    tlsPrivateKey: key.trimEnd(),
    tlsTrustedCertificates: join(dir, "cert.pem"),
    opensslCipherList: "ECDHE+AESGCM:!aNULL",
    opensslCipherSuites: "TLS_AES_128_GCM_SHA256",
    opensslOptions: "NO_TICKET | SSL_OP_NO_TLSv1_3",
    rustlsCipherSuites: ["TLS13_AES_256_GCM_SHA384"],
    rememberBrokenTlsMs: 3 * 86_400_000,
    opportunisticTlsReconnect: true,
    starttlsTimeoutMs: 7000,
    authTimeoutMs: 8000,
    smtpAuthUsername: "me",
    smtpAuthPassword: "sécret",
    smtpAuthTokenFile: join(dir, "token"),
    allowAuthWithoutTls: true,
    allowAuthWithoutValidCertificate: true,
  });
});

const wrong: readonly (readonly [line: string, said: RegExp])[] = [
  ['enable_tls = "Maybe"', /enable_tls: found "Maybe", expected one of "Disabled", "Opportunistic"/],
  ['tls_certificate = "gone.pem"', /tls_certificate: file "gone.pem" cannot be read \(ENOENT\)/],
  ['tls_certificate = "not.pem"', /tls_certificate: file "not.pem" holds no PEM with certificates/],
  ['tls_private_key = "cert.pem"', /tls_private_key: file "cert.pem" holds no PEM with a private key/],
  [
    'openssl_cipher_list = "NO-SUCH-CIPHER"',
    /openssl_cipher_list: found "NO-SUCH-CIPHER", expected OpenSSL cipher list/,
  ],
  [
    'openssl_cipher_suites = "ECDHE-RSA-AES128-GCM-SHA256"',
    /openssl_cipher_suites: found .*expected TLS 1\.3 cipher suites/,
  ],
  ['openssl_options = "NO_TICKET|NO_SUCH"', /openssl_options: "NO_SUCH" is no option of OpenSSL/],
  [
    'rustls_cipher_suites = ["AES"]',
    /rustls_cipher_suites\[0\]: found "AES", expected one of "TLS13_AES_256_GCM_SHA384"/,
  ],
  ['starttls_timeout = "0s"', /starttls_timeout: /],
  ["smtp_auth_plain_password = 7", /smtp_auth_plain_password: expected a secret of 1 to 4000 bytes/],
  [
    'smtp_auth_plain_password = { env = "HIKYAKU_TEST_NOT_SET" }',
    /environment variable "HIKYAKU_TEST_NOT_SET" is not set/,
  ],
];

for (const [line, said] of wrong) {
  test(`wrong: ${line}`, () => {
    const found = read(line);
    assert.equal(typeof found, "string");
    assert.match(String(found), said);
  });
}

test("ciphers in the form that Node takes", () => {
  const none = { opensslCipherList: null, opensslCipherSuites: null, rustlsCipherSuites: [] };
  assert.equal(cipherText(none), null);
  assert.equal(cipherText({ ...none, opensslCipherList: "AES256-SHA" }), `${DEFAULT_SUITES}:AES256-SHA`);
  const suites = cipherText({ ...none, opensslCipherSuites: "TLS_AES_128_GCM_SHA256" });
  assert.match(suites ?? "", /^TLS_AES_128_GCM_SHA256:ECDHE-/);
  assert.ok(!suites?.includes("TLS_AES_256"));
  assert.equal(
    cipherText({ ...none, rustlsCipherSuites: ["TLS13_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"] }),
    "TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256",
  );
  assert.equal(
    opensslOptionBits("no_ticket|NO_TLSv1_3"),
    (constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_TLSv1_3) >>> 0,
  );
});
