import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Mail } from "../../src/load/mail.js";
import { SourceMachine, type SourceOptions } from "../../src/load/source-machine.js";

const OPTIONS: SourceOptions = {
  helo: "c",
  sender: "a@b.example",
  pipelining: true,
  messagesPerConnection: null,
  tls: { mode: "off" },
};
const MAIL = "MAIL FROM:<a@b.example>";
const GROUP = (n: number) => `${MAIL}|RCPT TO:<u${n}@d.example>|DATA`;

/** A session with `mails` messages to send; `hear` gives what it does upon replies. */
function session(mails: number, changes: Partial<SourceOptions> = {}) {
  let did: string[] = [];
  let taken = 0;
  const machine: SourceMachine = new SourceMachine(
    { ...OPTIONS, ...changes },
    {
      take(): Mail | null {
        if (taken === mails) return null;
        taken++;
        return { number: 1, recipient: `u${taken}@d.example`, head: "", body: Buffer.alloc(0), bytes: 0 };
      },
      send: (commands) => did.push(commands.trim().replaceAll("\r\n", "|")),
      sendContent: (mail) => did.push(`content ${mail.recipient}`),
      secure: () => did.push("secure"),
      ready() {},
      settled: (mail, code) => did.push(`${mail.recipient}: ${code}`),
      returned: (mail) => did.push(`${mail.recipient} back`),
      close: (reason) => did.push(`close${reason === null ? "" : `: ${reason}`}`),
    },
  );
  const hear = (...lines: string[]): string[] => {
    did = [];
    const bytes = Buffer.from(lines.map((line) => `${line}\r\n`).join(""));
    machine.receive(bytes, 0, bytes.length);
    return did;
  };
  return { machine, hear };
}

const EHLO = ["250-mx", "250-SIZE 1000", "250 PIPELINING"];

test("a pipelined session", () => {
  const { machine, hear } = session(2);
  assert.deepEqual(hear("220-mx", "220 ready"), ["EHLO c"]);
  assert.deepEqual(hear(...EHLO), [GROUP(1)]);
  assert.deepEqual(hear("250 ok", "250 ok"), []);
  assert.deepEqual(hear("354 go"), ["content u1@d.example"]);
  assert.deepEqual(hear("250 queued"), ["u1@d.example: 250", GROUP(2)]);
  assert.deepEqual(hear("250 ok", "250 ok", "354 go", "451 4.3.0 no"), ["content u2@d.example", "u2@d.example: 451"]);
  assert.ok(machine.idle);
  machine.finish();
  assert.deepEqual(hear("221 bye"), ["close"]);
});

test("a refused recipient with DATA behind it: ended or reset, counted once", () => {
  const accepted = session(2);
  accepted.hear("220 mx");
  accepted.hear(...EHLO);
  assert.deepEqual(accepted.hear("250 ok", "550 no", "354 go"), ["."]);
  assert.deepEqual(accepted.hear("554 no recipients"), ["u1@d.example: 550", GROUP(2)]);
  const refused = session(2);
  refused.hear("220 mx");
  refused.hear(...EHLO);
  assert.deepEqual(refused.hear("250 ok", "550 no", "503 no"), ["u1@d.example: 550", `RSET|${GROUP(2)}`]);
  assert.deepEqual(refused.hear("250 ok", "250 ok", "250 ok", "354 go"), ["content u2@d.example"]);
});

test("one command at a time when pipelining is not offered, or not wanted", () => {
  for (const [offers, wants] of [
    [["250 mx"], true],
    [EHLO, false],
  ] as const) {
    const { hear } = session(2, { pipelining: wants, messagesPerConnection: 2 });
    hear("220 mx");
    assert.deepEqual(hear(...offers), [MAIL]);
    assert.deepEqual(hear("250 ok"), ["RCPT TO:<u1@d.example>"]);
    assert.deepEqual(hear("450 later"), ["u1@d.example: 450", "RSET"]);
    assert.deepEqual(hear("250 ok"), [MAIL]);
    assert.deepEqual(hear("250 ok"), ["RCPT TO:<u2@d.example>"]);
    assert.deepEqual(hear("250 ok"), ["DATA"]);
    assert.deepEqual(hear("354 go"), ["content u2@d.example"]);
    assert.deepEqual(hear("250 ok"), ["u2@d.example: 250", "QUIT"]);
  }
});

test("421, 451 4.5.3 and what is no SMTP give the message back uncounted", () => {
  for (const reply of ["421 4.3.2 bye", "451 4.5.3 too many", "hello"]) {
    const { hear } = session(1);
    hear("220 mx");
    hear(...EHLO);
    const did = hear("250 ok", reply, "250 ok");
    assert.equal(did[0], "u1@d.example back");
    assert.match(did[1] ?? "", /^close: /);
    assert.equal(did.length, 2);
  }
  const { hear } = session(1);
  assert.deepEqual(hear("554 no"), ["close: unexpected reply: 554 no"]);
});

test("replies cut anywhere mean the same", () => {
  const script = ["220 mx", ...EHLO, "250 ok", "250 ok", "354 go", "250 ok", "250 ok", "550 no", "503 no", ""].join(
    "\r\n",
  );
  const expected = ["EHLO c", GROUP(1), "content u1@d.example", "u1@d.example: 250", GROUP(2), "u2@d.example: 550"];
  fc.assert(
    fc.property(fc.array(fc.nat({ max: script.length }), { maxLength: 10 }), (cuts) => {
      const { machine, hear } = session(2);
      const did = hear();
      let before = 0;
      for (const place of [...cuts, script.length].sort((a, b) => a - b)) {
        const bytes = Buffer.from(script.slice(before, place));
        machine.receive(bytes, 0, bytes.length);
        before = place;
      }
      assert.deepEqual(did, expected);
    }),
    { numRuns: 200 },
  );
});

const TLS_EHLO = ["250-mx", "250-STARTTLS", "250 PIPELINING"];

test("STARTTLS where it is offered, everything asked anew after it", () => {
  for (const mode of ["opportunistic", "required"] as const) {
    const { machine, hear } = session(1, { tls: { mode } });
    assert.deepEqual(hear("220 mx"), ["EHLO c"]);
    assert.deepEqual(hear(...TLS_EHLO), ["STARTTLS"]);
    const did = hear("220 go");
    assert.deepEqual(did, ["secure"]);
    machine.secured();
    assert.deepEqual(did, ["secure", "EHLO c"]);
    // What was offered in clear counts no more; STARTTLS once more is nonsense.
    assert.deepEqual(hear("250-mx", "250 STARTTLS"), [MAIL]);
  }
});

test("STARTTLS that is not offered or refused", () => {
  const clear = session(1, { tls: { mode: "opportunistic" } });
  clear.hear("220 mx");
  assert.deepEqual(clear.hear(...EHLO), [GROUP(1)]);
  const refused = session(1, { tls: { mode: "opportunistic" } });
  refused.hear("220 mx");
  refused.hear(...TLS_EHLO);
  assert.deepEqual(refused.hear("454 not now"), [GROUP(1)]);
  const required = session(1, { tls: { mode: "required" } });
  required.hear("220 mx");
  assert.deepEqual(required.hear(...EHLO), ["close: the server does not offer STARTTLS"]);
  const broken = session(1, { tls: { mode: "required" } });
  broken.hear("220 mx");
  broken.hear(...TLS_EHLO);
  assert.deepEqual(broken.hear("454 not now"), ["close: unexpected reply: 454 not now"]);
});

test("clear text behind the reply to STARTTLS ends the connection, whole lines or not", () => {
  for (const more of ["250 injected\r\n", "25"]) {
    const { machine, hear } = session(1, { tls: { mode: "required" } });
    hear("220 mx");
    const did = hear(...TLS_EHLO);
    const bytes = Buffer.from(`220 go\r\n${more}`);
    machine.receive(bytes, 0, bytes.length);
    assert.deepEqual(did, ["STARTTLS", "close: clear text came with the reply to STARTTLS"]);
  }
});
