import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Fault } from "../../src/base/fault.js";
import { selfSigned } from "../../src/sink/certificate.js";
import { DEFAULT_PROFILE } from "../../src/sink/options.js";
import { loadProfile, parseProfile } from "../../src/sink/profile.js";
import { projectRoot } from "../support/root.js";

test("a whole profile", () => {
  const profile = parseProfile(
    `[server]
latency = "20ms"
refuse_at = "data"
close = 0.5
[default]
bounce = 10
defer = 5
[domain."Strict.example"]
bounce = 50
[[bounce."strict.example"]]
code = 550
msg = "5.1.1 Unknown"
[[defer.default]]
code = 421
msg = "4.7.0 Slow down"
`,
    "p.toml",
  );
  assert.deepEqual(profile, {
    ...DEFAULT_PROFILE,
    latencyMs: 20,
    refuseAt: "data",
    closePercent: 0.5,
    fallback: { bounce: 10, defer: 5 },
    domains: { "strict.example": { bounce: 50, defer: 5 } },
    bounceReplies: { "strict.example": [{ code: 550, text: "5.1.1 Unknown" }] },
    deferReplies: { default: [{ code: 421, text: "4.7.0 Slow down" }] },
  });
  assert.deepEqual(parseProfile("", "empty.toml"), DEFAULT_PROFILE);
});

/** Wrong files, and what is said of them. */
const WRONG: [written: string, says: RegExp][] = [
  ["[default]\nbounce = 101\n", /^p\.toml:2: default\.bounce: found 101/],
  ["[default]\nbounce = 60\ndefer = 60\n", /^p\.toml:1: default: bounce 60 and defer 60 are more than 100/],
  ["[default]\nbonce = 1\n", /^p\.toml:2: default\.bonce: unknown key, nearest known key "bounce"/],
  ['[[bounce.default]]\ncode = 450\nmsg = "x"\n', /^p\.toml:2: bounce\.default\[0\]\.code: found 450/],
  ["[[defer.default]]\ncode = 450\n", /^p\.toml:1: defer\.default\[0\]: missing "msg"/],
  ["[server]\ngreeting = 250\n", /^p\.toml:2: server\.greeting: found 250/],
  ["[server\n", /^p\.toml:1:\d+: /],
];

test("what is wrong is said with file and line", () => {
  for (const [written, says] of WRONG) {
    assert.throws(
      () => parseProfile(written, "p.toml"),
      (error) => error instanceof Fault && error.code === "config.invalid" && says.test(error.message),
      written,
    );
  }
  assert.throws(
    () => loadProfile("/nonexistent/p.toml"),
    (error) => error instanceof Fault && error.code === "config.unreadable",
  );
});

test("the profiles that ship are good", () => {
  const folder = join(projectRoot, "profiles");
  const files = readdirSync(folder);
  assert.ok(files.length > 0);
  for (const name of files) assert.notDeepEqual(loadProfile(join(folder, name)), DEFAULT_PROFILE);
});

test("TLS and AUTH of a profile, and what is wrong with them", () => {
  const { certificate, key } = selfSigned(["mx.example"], Date.now());
  const written = `
[tls]
mode = "required"
certificate = """${certificate}"""
key = """${key}"""
max_version = "TLSv1.2"
fault = "hang"
[auth]
username = "me"
password = "secret"
mechanisms = ["CRAM-MD5"]
`;
  const profile = parseProfile(written, "p.toml");
  assert.deepEqual(profile.tls, { mode: "required", certificate, key, maxVersion: "TLSv1.2", fault: "hang" });
  assert.deepEqual(profile.auth, {
    username: "me",
    password: "secret",
    mechanisms: ["CRAM-MD5"],
    required: true,
    inClear: false,
  });
  const bare = parseProfile("[tls]\n", "p.toml").tls;
  assert.deepEqual(bare, { mode: "offered", certificate: null, key: null, maxVersion: null, fault: "none" });
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['[tls]\nmode = "always"', /tls\.mode: found "always", expected one of "offered", "required"/],
    ['[tls]\nkey = "gone.pem"', /tls\.key: file "gone\.pem" cannot be read/],
    [`[tls]\ncertificate = """${certificate}"""`, /certificate and key go together/],
    ['[auth]\nusername = "me"', /missing "password"/],
  ];
  for (const [text, said] of wrong) assert.throws(() => parseProfile(text, "p.toml"), said);
});
