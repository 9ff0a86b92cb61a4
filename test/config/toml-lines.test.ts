import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parse } from "smol-toml";
import { jsonLines } from "../../src/config/json-lines.js";
import type { LineMap } from "../../src/config/line-map.js";
import type { Path } from "../../src/config/problems.js";
import { tomlLines } from "../../src/config/toml-lines.js";

/** Every path of a value, the empty one left out. */
function pathsOf(value: unknown, at: Path = []): Path[] {
  if (typeof value !== "object" || value === null || value instanceof Date) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const path = [...at, Array.isArray(value) ? Number(key) : key];
    return [path, ...pathsOf(inner, path)];
  });
}

/** The line of each path, as one text a line: `path=line`. */
function linesOf(values: unknown, map: LineMap): string[] {
  return pathsOf(values).map((path) => `${path.join("/")}=${map.lineOf(path)}`);
}

const TOML = `# a comment with [a.table] in it
title = "a # no comment"
"quoted.key" = 'literal \\'
'lit"eral' = 1
escaped."a\\"b\\u00e9\\U0001F600" = 2
dates = [1979-05-27 07:32:00, 1979-05-27T07:32:00Z]

[server . "example.com"]
ports = [
  25, # comment ]
  [ 587,
    465 ],
  { name = "x", "deep key".inner = [
    1 ] },
]
text = """
[not.a.table]
key = "no key" ""\\
   """""
raw = '''
''quotes'' ]
'''
[[list]]
a = 1
[list.sub]
b = 2
[[list.sub.items]]
c = 3
[[list.sub.items]]
c = 4
[[list]]
a = { b = { c = 1 } }
[list.sub]
b = 5
`;

const EXPECTED = [
  "title=2",
  "quoted.key=3",
  'lit"eral=4',
  "escaped=5",
  'escaped/a"b\u00e9\u{1F600}=5',
  "dates=6",
  "dates/0=6",
  "dates/1=6",
  "server=8",
  "server/example.com=8",
  "server/example.com/ports=9",
  "server/example.com/ports/0=10",
  "server/example.com/ports/1=11",
  "server/example.com/ports/1/0=11",
  "server/example.com/ports/1/1=12",
  "server/example.com/ports/2=13",
  "server/example.com/ports/2/name=13",
  "server/example.com/ports/2/deep key=13",
  "server/example.com/ports/2/deep key/inner=13",
  "server/example.com/ports/2/deep key/inner/0=14",
  "server/example.com/text=16",
  "server/example.com/raw=20",
  "list=23",
  "list/0=23",
  "list/0/a=24",
  "list/0/sub=25",
  "list/0/sub/b=26",
  "list/0/sub/items=27",
  "list/0/sub/items/0=27",
  "list/0/sub/items/0/c=28",
  "list/0/sub/items/1=29",
  "list/0/sub/items/1/c=30",
  "list/1=31",
  "list/1/a=32",
  "list/1/a/b=32",
  "list/1/a/b/c=32",
  "list/1/sub=33",
  "list/1/sub/b=34",
];

test("TOML: the line of every key and element", () => {
  assert.deepEqual(linesOf(parse(TOML), tomlLines(TOML)), EXPECTED);
});

test("TOML: CRLF line ends and a byte order mark change nothing", () => {
  const other = `\ufeff${TOML.replaceAll("\n", "\r\n")}`;
  assert.deepEqual(linesOf(parse(other), tomlLines(other)), EXPECTED);
});

test("an unknown path has the line of its nearest ancestor", () => {
  const map = tomlLines("\n[a]\nb = 1\n");
  assert.equal(map.lineOf(["a", "c", 3]), 2);
  assert.equal(map.lineOf(["x"]), null);
});

/** Documents of one pair a line, so that the right answer is known without a second scanner. */
const key = fc.oneof(fc.stringMatching(/^[a-z0-9_-]{1,6}$/), fc.string({ unit: "binary", minLength: 1, maxLength: 6 }));
const value = fc.oneof(
  fc.constantFrom(
    "1",
    "true",
    "1979-05-27",
    "'raw # ] }'",
    '"x\\"y"',
    "[1, [2], {a = 1}]",
    '{ "a=b" = "c" }',
    "'''x'''",
  ),
  fc.string({ unit: "grapheme-ascii", maxLength: 10 }).map((text) => JSON.stringify(text)),
);

test("TOML: of any keys and values, each key is found on its line", () => {
  const document = fc.uniqueArray(fc.tuple(key, value), { selector: ([name]) => name, minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(document, (pairs) => {
      const text = pairs.map(([name, written]) => `${quoteKey(name)} = ${written} # note\n`).join("");
      parse(text);
      const map = tomlLines(text);
      for (const [index, [name]] of pairs.entries()) assert.equal(map.lineOf([name]), index + 1, text);
    }),
  );
});

function quoteKey(name: string): string {
  const escaped = JSON.stringify(name).replace(/[\x7f]/g, "\\u007f");
  return /^[a-z0-9_-]+$/.test(name) ? name : escaped;
}

test("TOML: no text makes the scanner throw or hang", () => {
  const noise = fc.string({ unit: fc.constantFrom(..."[]{}\"'=.,#\\\n\r ab1"), maxLength: 60 });
  fc.assert(fc.property(noise, (text) => tomlLines(text).lineOf(["a"]) !== 0));
});

test("JSON: the line of every key and element, and keys that are there twice", () => {
  const text = '{\n "a": [1,\n  {"b": "x\\"}", "c": null}\n ],\n "d": {"e": {}},\n "a": 2\n}\n';
  const { map, duplicates } = jsonLines(text);
  const places: readonly (readonly [Path, number])[] = [
    [["a"], 2],
    [["a", 0], 2],
    [["a", 1], 3],
    [["a", 1, "b"], 3],
    [["a", 1, "c"], 3],
    [["d", "e"], 5],
  ];
  for (const [path, line] of places) assert.equal(map.lineOf(path), line, path.join("/"));
  assert.deepEqual(duplicates, [{ path: ["a"], line: 6 }]);
});

test("JSON: whatever the parser accepts, the scanner walks", () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      const values: unknown = JSON.parse(text);
      const pretty = JSON.stringify(values, null, 1) ?? "null";
      const { map } = jsonLines(pretty);
      const first = pathsOf(values)[0];
      if (first !== undefined) assert.notEqual(map.lineOf(first), null);
    }),
  );
});
