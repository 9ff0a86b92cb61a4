import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { ConfigFault, loadShaping } from "../../src/config/load.js";
import { errorsOf, load, warningsOf, withFiles } from "./files.js";

const SERVER = '[shaping]\nfiles = ["shaping.toml"]\n[[source]]\nname = "ip-1"\n';

test("blocks, sources and what they say", () => {
  const { config, files } = load(SERVER, {
    "shaping.toml": `["default"]
connection_limit = "local:1_000"
idle_timeout = "60s"
["default".sources."ip-1"]
connection_limit = 1
["Gmail.COM"]
smtp_port = 26
["one.example"]
mx_rollup = false
ehlo_domain = "[192.0.2.1]"
sources = { "ip-1" = { max_ready = 5 }, unspecified = { max_ready = 6 } }
`,
  });
  assert.deepEqual(config.shaping, {
    base: { connectionLimit: 1000, idleTimeoutMs: 60_000 },
    baseSources: { "ip-1": { connectionLimit: 1 } },
    blocks: [
      { domain: "gmail.com", mxRollup: true, options: { smtpPort: 26 }, sources: {} },
      {
        domain: "one.example",
        mxRollup: false,
        options: { ehloDomain: "[192.0.2.1]" },
        sources: { "ip-1": { maxReady: 5 }, unspecified: { maxReady: 6 } },
      },
    ],
  });
  assert.equal(files.length, 2);
});

test("later files win, option by option and source by source; replace_base begins anew", () => {
  const { config } = load('[shaping]\nfiles = ["a.toml", "b.json", "c.toml"]\n[[source]]\nname = "s"\n', {
    "a.toml":
      '["x.example"]\nconnection_limit = 1\nmax_ready = 1\nsources.s = { max_ready = 1, smtp_port = 1 }\n["y.example"]\nmax_ready = 1\nmx_rollup = false\n',
    "b.json": '{"x.example": {"connection_limit": 2, "sources": {"s": {"max_ready": 2}}}}',
    "c.toml": '["y.example"]\nreplace_base = true\nsmtp_port = 3\n',
  });
  assert.deepEqual(config.shaping.blocks, [
    {
      domain: "x.example",
      mxRollup: true,
      options: { connectionLimit: 2, maxReady: 1 },
      sources: { s: { maxReady: 2, smtpPort: 1 } },
    },
    { domain: "y.example", mxRollup: true, options: { smtpPort: 3 }, sources: {} },
  ]);
});

test("unset takes an option back to its built-in default", () => {
  const { config } = load(SERVER, {
    "shaping.toml":
      '["default"]\nconnection_limit = 5\n["x.example"]\nunset = ["connection_limit", "max_message_rate"]\n',
  });
  assert.deepEqual(config.shaping.blocks[0]?.options, { connectionLimit: 32 });
  assert.deepEqual(
    errorsOf(SERVER, { "shaping.toml": '["x.example"]\nmax_ready = 1\nunset = [\n"max_ready",\n"max_redy"]\n' }),
    [
      'shaping.toml:4: "x.example".unset[0]: max_ready is set in this block',
      'shaping.toml:5: "x.example".unset[1]: no option named "max_redy", nearest is "max_ready"',
    ],
  );
});

test("options without a feature are checked and warned of; those that would break a promise are errors", () => {
  const warnings = warningsOf(SERVER, {
    "shaping.toml": `["default"]
max_message_rate = "100/s"
enable_tls = "Opportunistic"
enable_dane = false
additional_connection_limits = { a = 5 }
automation = [{ regex = ["x", "y"], action = ["Suspend", { SetConfig = { name = "max_ready", value = 1 } }], trigger = { Threshold = "5/hr" }, duration = "1h" }]
[provider."Big"]
match = [{ MXSuffix = ".big.example" }]
provider_connection_limit = 10
max_message_rate = "5/s"
`,
  });
  assert.deepEqual(warnings, [
    "shaping.toml:2: warning: default.max_message_rate: not in force in this version",
    "shaping.toml:6: warning: default.automation: not in force in this version",
    "shaping.toml:7: warning: provider.Big: not in force in this version",
  ]);
  const errors = errorsOf(SERVER, {
    "shaping.toml": `["x.example"]
enable_tls = "Required"
max_message_rate = "fast"
smtp_auth_plain_username = "me"
automation = [{ regex = "(", action = "Stop", duration = "1h", trigger = "Soon" }]
["x.example".sources."ip-1"]
enable_tls = "RequiredInsecure"
[provider."Big"]
match = [{ MXSufix = ".big.example" }]
max_message_rate = 7
sources.x.max_redy = 1
`,
  });
  assert.deepEqual(errors, [
    'shaping.toml:3: "x.example".max_message_rate: found "fast", expected a rate, such as "100/min", "1_000/30min" or "5/s,max_burst=1"',
    'shaping.toml:5: "x.example".automation[0].regex: found "(", expected a regular expression',
    'shaping.toml:5: "x.example".automation[0].action: found "Stop", expected one of "Suspend", "SuspendTenant", "SuspendCampaign", "Bounce", "BounceTenant", "BounceCampaign"',
    'shaping.toml:5: "x.example".automation[0].trigger: found "Soon", expected "Immediate"',
    'shaping.toml:9: provider.Big.match[0].MXSufix: unknown key, nearest known key "MXSuffix"',
    'shaping.toml:10: provider.Big.max_message_rate: found 7, expected a rate, such as "100/min", "1_000/30min" or "5/s,max_burst=1"',
    'shaping.toml:11: provider.Big.sources.x.max_redy: unknown key, nearest known key "max_ready"',
  ]);
});

test("domains: forgotten quotes, nonsense, unknown sources", () => {
  const errors = errorsOf(SERVER, {
    "shaping.toml": `[gmail.com]
max_ready = 1
["a b.example"]
max_ready = 1
["x.example".sources."ip-2"]
max_ready = 1
["constructor"]
max_ready = 1
`,
  });
  assert.deepEqual(errors, [
    'shaping.toml:1: gmail: a domain with dots needs quotes: ["gmail.com"]',
    'shaping.toml:3: "a b.example": "a b.example" is no domain',
    'shaping.toml:5: "x.example".sources.ip-2: no source named "ip-2", nearest is "ip-1"',
    'shaping.toml:7: constructor: "constructor" is no domain',
  ]);
  const warnings = warningsOf(SERVER, {
    "shaping.toml": '[localhost]\nmax_ready = 1\n["\u98db\u811a.example"]\nmax_ready = 2\n',
  });
  assert.deepEqual(warnings, ["shaping.toml:1: warning: localhost: a domain of a single label; were dots forgotten?"]);
});

test("JSON files: places of wrong values, and of what is no JSON", () => {
  const server = '[shaping]\nfiles = ["shaping.json"]\n';
  assert.deepEqual(
    errorsOf(server, { "shaping.json": '{\n  "x.example": {\n    "max_ready": 1\n  },\n  "x.example": {}\n}' }),
    ['shaping.json:5: "x.example": "x.example" is already there'],
  );
  assert.deepEqual(
    errorsOf(server, { "shaping.json": '{\n  "x.example": {\n    "max_ready": 0,\n    "__proto__": {}}}' }),
    [
      'shaping.json:3: "x.example".max_ready: found 0, expected a whole number from 1 to 10000000',
      'shaping.json:4: "x.example".__proto__: unknown key, nearest known key "mx_rollup"',
    ],
  );
  assert.deepEqual(errorsOf(server, { "shaping.json": '{\n  "x": ]\n' }), [
    'shaping.json:2:8: not well-formed JSON: found "]", expected a value',
  ]);
  assert.deepEqual(errorsOf(server, { "shaping.json": "[]" }), [
    "shaping.json: found a list, expected tables by domain",
  ]);
});

test("shaping files can be checked without a server's file", () => {
  const files = {
    "good.toml": '["x.example"]\nmax_ready = 1\nmax_message_rate = "1/s"\n',
    "bad.toml": '["x.example"]\nmax_redy = 1\n',
  };
  withFiles(files, (directory) => {
    const { rules, warnings } = loadShaping([join(directory, "good.toml")], {});
    assert.deepEqual([rules.blocks.length, warnings.length], [1, 1]);
    const codeOf = (name: string) => {
      try {
        loadShaping([join(directory, "good.toml"), join(directory, name)], {});
      } catch (error) {
        return error instanceof ConfigFault ? [error.code, error.problems.length] : error;
      }
      return "good";
    };
    assert.deepEqual(codeOf("bad.toml"), ["config.invalid", 2]);
    assert.deepEqual(codeOf("missing.toml"), ["config.unreadable", 0]);
  });
});
