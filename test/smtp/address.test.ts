import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NULL_SENDER, PathReader, parseMailbox } from "../../src/smtp/address.js";

const reader = new PathReader();

function read(text: string): string | null {
  if (!reader.read(text, 0)) return null;
  const { mailbox, next } = reader;
  assert.ok(mailbox !== null);
  return `${mailbox.local}|${mailbox.domain}|${mailbox.text}|${mailbox.utf8 ? "utf8" : "ascii"}|${text.slice(next)}`;
}

const GOOD: readonly (readonly [path: string, result: string])[] = [
  ["<a@b.example>", "a|b.example|a@b.example|ascii|"],
  ["<a@b.example> SIZE=1", "a|b.example|a@b.example|ascii| SIZE=1"],
  ["<A.b+C@B.Example>", "A.b+C|b.example|A.b+C@B.Example|ascii|"],
  ["<!#$%&'*+-/=?^_`{|}~@b.example>", "!#$%&'*+-/=?^_`{|}~|b.example|!#$%&'*+-/=?^_`{|}~@b.example|ascii|"],
  // Not routed by anybody's gateway: the domain is what stands behind the last unquoted @.
  ["<user%c.example@b.example>", "user%c.example|b.example|user%c.example@b.example|ascii|"],
  ['<"a@c.example"@b.example>', '"a@c.example"|b.example|"a@c.example"@b.example|ascii|'],
  ['<"a\\"@c.example"@b.example>', '"a\\"@c.example"|b.example|"a\\"@c.example"@b.example|ascii|'],
  ['<"a b>"@b.example>', '"a b>"|b.example|"a b>"@b.example|ascii|'],
  ['<""@b.example>', '""|b.example|""@b.example|ascii|'],
  ["<a@localhost>", "a|localhost|a@localhost|ascii|"],
  ["<a@b_c.example>", "a|b_c.example|a@b_c.example|ascii|"],
  ["<a@1.2.3.4.example>", "a|1.2.3.4.example|a@1.2.3.4.example|ascii|"],
  ["<a@[192.0.2.1]>", "a|[192.0.2.1]|a@[192.0.2.1]|ascii|"],
  ["<a@[ipv6:2001:DB8::1]>", "a|[IPv6:2001:db8::1]|a@[ipv6:2001:DB8::1]|ascii|"],
  ["<@r.example:a@b.example>", "a|b.example|a@b.example|ascii|"],
  ["<@r.example,@[IPv6:::1],@s.example:a@b.example>", "a|b.example|a@b.example|ascii|"],
  ["<>", "|||ascii|"],
  ["<Postmaster>", "Postmaster||Postmaster|ascii|"],
  ["<@r.example:postMASTER>", "postMASTER||postMASTER|ascii|"],
  ["<jos\u00e9@b.example>", "jos\u00e9|b.example|jos\u00e9@b.example|utf8|"],
  ["<a@B\u00dcCHER.example>", "a|xn--bcher-kva.example|a@B\u00dcCHER.example|utf8|"],
  ["<a@XN--bcher-kva.example>", "a|xn--bcher-kva.example|a@XN--bcher-kva.example|ascii|"],
  ["<a@\u4f8b\u3002\u4e2d\u56fd>", "a|xn--fsq.xn--fiqs8s|a@\u4f8b\u3002\u4e2d\u56fd|utf8|"],
];

for (const [path, result] of GOOD) {
  test(`address: ${path}`, () => assert.equal(read(path), result));
}

const BAD: readonly string[] = [
  "",
  "a@b.example",
  "<a@b.example",
  "<a>",
  "<@>",
  "<@b.example>",
  "<a@>",
  "< a@b.example>",
  "<a @b.example>",
  "<a@ b.example>",
  "<a@b.example >",
  "<<a@b.example>>",
  "<.a@b.example>",
  "<a.@b.example>",
  "<a..b@b.example>",
  "<a@b@c.example>",
  "<a@.b.example>",
  "<a@b..example>",
  "<a@b.example.>",
  "<a@-b.example>",
  "<a@b-.example>",
  "<a@b.example->",
  "<a@b.example:25>",
  "<a@b/c.example>",
  "<a@b!c>",
  "<a@b.example,c@d.example>",
  "<a(comment)@b.example>",
  "<a@192.0.2.1>",
  "<a@b.123>",
  '<"a@b.example>',
  '<"a"b@b.example>',
  '<"a\\">',
  '<"postmaster">',
  "<postmaster@>",
  '<"a\u0000"@b.example>',
  '<"a\\\r"@b.example>',
  "<a\r\n@b.example>",
  "<a@[192.0.2.256]>",
  "<a@[192.0.2.01]>",
  "<a@[192.0.2]>",
  "<a@[192.0.2.1>",
  "<a@[192.0.2.1]",
  "<a@[192.0.2.1].example>",
  "<a@[]>",
  "<a@[IPv6:]>",
  "<a@[IPv6:1:2:3]>",
  "<a@[IPv6:fe80::1%eth0]>",
  "<a@[2001:db8::1]>",
  "<a@[tag:content]>",
  "<@r.example>",
  "<@r.example:>",
  "<@r.example;a@b.example>",
  "<@r.example,a@b.example>",
  "<@r.example,@:a@b.example>",
  "<@@r.example:a@b.example>",
  "<@r.example :a@b.example>",
  // Control characters and line ends beyond ASCII; a number in wide digits; a slash in disguise.
  "<a\u0085b@b.example>",
  "<a\u2028b@b.example>",
  "<a@\uff11\uff12\uff17.1>",
  "<a@b\uff0fc.example>",
  "<a@b\u00fc%41.example>",
  "<a@\u200d.example>",
  `<${"a".repeat(65)}@b.example>`,
  `<${"\u00e9".repeat(33)}@b.example>`,
  `<a@${"a".repeat(64)}.example>`,
  `<a@${"a.".repeat(126)}aaa>`,
];

for (const path of BAD) {
  test(`address refused: ${JSON.stringify(path).slice(0, 60)}`, () => assert.equal(read(path), null));
}

test("address: lengths at their limits", () => {
  assert.notEqual(read(`<${"a".repeat(64)}@b.example>`), null);
  assert.notEqual(read(`<${"\u00e9".repeat(32)}@b.example>`), null);
  assert.notEqual(read(`<a@${"a".repeat(63)}.example>`), null);
  const longest = `a@${"a.".repeat(126)}aa`;
  assert.equal(longest.length, 256);
  assert.notEqual(read(`<${longest}>`), null);
});

test("address: the null sender is one object, so that it can be told by identity", () => {
  assert.ok(reader.read("<>", 0));
  assert.equal(reader.mailbox, NULL_SENDER);
});

test("address: a mailbox without brackets", () => {
  assert.equal(parseMailbox("a@B.example")?.domain, "b.example");
  for (const text of [
    "",
    "a",
    "postmaster",
    "a@b.example>",
    "<a@b.example>",
    "@r.example:a@b.example",
    "a@b.example ",
  ]) {
    assert.equal(parseMailbox(text), null, text);
  }
});

test("address: whatever is taken can stand in brackets again and is read as the same", () => {
  const piece = fc.constantFrom(
    "a",
    "B",
    "@",
    ".",
    '"',
    "\\",
    "<",
    ">",
    ":",
    ",",
    "[",
    "]",
    " ",
    "-",
    "1",
    "\u00e9",
    "\r",
    "%",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 14 }), (pieces) => {
      const text = `<${pieces.join("")}>`;
      if (!reader.read(text, 0) || reader.mailbox === null || reader.mailbox === NULL_SENDER) return;
      const { mailbox } = reader;
      assert.ok(!/[\r\n\0]/.test(mailbox.text));
      // The domain as written, made canonical, is what comes behind the last @ that is not inside quotes.
      if (mailbox.domain !== "")
        assert.equal(mailbox.text, `${mailbox.local}@${mailbox.text.slice(mailbox.local.length + 1)}`);
      assert.ok(reader.read(`<${mailbox.text}>`, 0));
      assert.deepEqual(reader.mailbox, mailbox);
    }),
    { numRuns: 5000 },
  );
});

test("address: cost grows with length alone", () => {
  // Each of these would keep a parser that goes back and tries again busy for ever.
  for (const text of [
    `<"${'\\"'.repeat(50_000)}`,
    `<${"a.".repeat(50_000)}`,
    `<${"@a,".repeat(30_000)}`,
    `<@${"[".repeat(100_000)}`,
    `<a@${"a-".repeat(50_000)}>`,
    `<a@${"\u00fc".repeat(100_000)}>`,
    `<a@[IPv6:${":".repeat(100_000)}]>`,
  ]) {
    assert.equal(read(text), null);
  }
});
