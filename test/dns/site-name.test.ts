import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { siteName } from "../../src/dns/site-name.js";

test("the examples", () => {
  const cases: readonly (readonly [readonly string[], string])[] = [
    [["mta5.am0.yahoodns.net", "mta6.am0.yahoodns.net", "mta7.am0.yahoodns.net"], "(mta5|mta6|mta7).am0.yahoodns.net"],
    [
      [
        "gmail-smtp-in.l.google.com",
        "alt1.gmail-smtp-in.l.google.com",
        "alt2.gmail-smtp-in.l.google.com",
        "alt3.gmail-smtp-in.l.google.com",
        "alt4.gmail-smtp-in.l.google.com",
      ],
      "(alt1|alt2|alt3|alt4)?.gmail-smtp-in.l.google.com",
    ],
    [["MX.Example.COM."], "mx.example.com"],
    [["mx.example.com:2025"], "mx.example.com:2025"],
    [["a.example.com:2025", "b.example.com:2025"], "(a|b).example.com:2025"],
    [["a.example.com", "b.example.net"], "(a|b).example.(com|net)"],
    [["mx.example.com", "example.com"], "mx?.example.com"],
    [["z.example", "a.example"], "(z|a).example"],
    [["localhost"], "localhost"],
    [[], ""],
  ];
  for (const [hosts, expected] of cases) assert.equal(siteName(hosts), expected);
});

test("one host alone is its own site, and the same hosts print the same", () => {
  const label = fc.stringMatching(/^[a-z0-9]{1,4}$/);
  const host = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join("."));
  fc.assert(fc.property(host, (name) => siteName([name]) === name));
  fc.assert(fc.property(fc.array(host), (hosts) => siteName(hosts) === siteName([...hosts, ...hosts])));
});
