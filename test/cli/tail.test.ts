import assert from "node:assert/strict";
import { appendFileSync, chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { gzipSync } from "node:zlib";
import { compressFile } from "../../src/base/compression.js";
import { followLog, pollEvery } from "../../src/cli/log-follow.js";
import { formatRecord, matchesFilter, parseRecord, tailLog } from "../../src/cli/tail.js";
import { run } from "./command.js";

const A = "20270115-080000.000000000.jsonl";
const B = "20270115-080001.000000000.jsonl";
const C = "20270115-080002.000000000.jsonl";

function scratch(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "hikyaku-tail-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Follows while the script's steps happen, one per wait; ends after the last. */
async function follow(dir: string, fromBeginning: boolean, steps: (() => unknown)[]): Promise<string[]> {
  const lines: string[] = [];
  const wait = async (): Promise<boolean> => {
    const step = steps.shift();
    if (step === undefined) return false;
    await step();
    return true;
  };
  for await (const line of followLog({ dir, fromBeginning, live: true, wait })) lines.push(line);
  return lines;
}

test("live following tells what comes, over rotation, late writers and compression, each line once", async (t) => {
  const dir = scratch(t);
  const [a, b, c] = [A, B, C].map((name) => join(dir, name)) as [string, string, string];
  writeFileSync(a, "old 1\nold 2\n");
  const lines = await follow(dir, false, [
    () => appendFileSync(a, "a1\na2"),
    () => appendFileSync(a, " goes on\n"),
    () => writeFileSync(b, "b1\n"),
    () => appendFileSync(a, "a3 by a slow writer\n"),
    () => appendFileSync(b, "b2\n"),
    () => {
      appendFileSync(a, "a4\n");
      chmodSync(a, 0o440);
    },
    () => compressFile(a),
    () => appendFileSync(b, "b3\n\nb4\n"),
    // Written, finished and compressed between two looks.
    async () => {
      writeFileSync(c, "c1\nc2\n");
      chmodSync(b, 0o440);
      await compressFile(b);
      await compressFile(c);
    },
  ]);
  assert.deepEqual(lines, ["a1", "a2 goes on", "b1", "a3 by a slow writer", "b2", "a4", "b3", "b4", "c1", "c2"]);
});

test("from the beginning everything is told in order: compressed, finished, growing", async (t) => {
  const dir = scratch(t);
  const long = Array.from({ length: 20_000 }, (_, i) => `line ${i} ${"é".repeat(i % 9)}`);
  writeFileSync(join(dir, `${A}.gz`), gzipSync(`${long.join("\n")}\n`));
  writeFileSync(join(dir, B), `${long.join("\n")}\n`);
  chmodSync(join(dir, B), 0o440);
  writeFileSync(join(dir, C), "c1\nhalf");
  writeFileSync(join(dir, "notes.txt"), "no segment\n");
  assert.deepEqual(await follow(dir, true, [() => appendFileSync(join(dir, C), " done\n")]), [
    ...long,
    ...long,
    "c1",
    "half done",
  ]);
  const ended: string[] = [];
  for await (const line of followLog({ dir, fromBeginning: true, live: false, wait: assert.fail })) ended.push(line);
  assert.equal(ended.length, 40_002);
});

test("a directory that does not exist yet is waited for; compressed files of before are not told live", async (t) => {
  const dir = join(scratch(t), "log");
  const other = scratch(t);
  assert.deepEqual(
    await follow(dir, false, [() => renameSync(other, dir), () => writeFileSync(join(dir, A), "first\n")]),
    ["first"],
  );
  const packed = scratch(t);
  writeFileSync(join(packed, `${A}.gz`), gzipSync("old\n"));
  assert.deepEqual(await follow(packed, false, [() => writeFileSync(join(packed, B), "new\n")]), ["new"]);
});

test("a log that is not there, or cannot be read, is one line and exit 1", async (t) => {
  const dir = scratch(t);
  const none = await run("tail", "--dir", join(dir, "none"), "--no-follow");
  assert.deepEqual(none, { code: 1, out: "", err: `hikyaku tail: there is no log at ${join(dir, "none")}\n` });
  writeFileSync(join(dir, "file"), "");
  const file = await run("tail", "--dir", join(dir, "file"), "--all");
  assert.equal(file.code, 1);
  assert.match(file.err, /^hikyaku tail: .*file cannot be read: ENOTDIR.*\n$/);
  // Not compressed at all; with zstd, an older Node does not even look.
  for (const suffix of [".gz", ".zst"]) {
    const path = join(dir, A + suffix);
    writeFileSync(path, "what is this");
    const packed = await run("tail", "--dir", dir, "--no-follow");
    assert.equal(packed.code, 1);
    assert.match(packed.err, /^hikyaku tail: .*(cannot be read: |this version of Node cannot read\n).*\n?$/);
    assert.equal(packed.err.trim().split("\n").length, 1);
    rmSync(path);
  }
});

test("the usual waiting ends at once when it is aborted", async () => {
  const stop = new AbortController();
  const wait = pollEvery(3_600_000, stop.signal);
  const waiting = wait();
  stop.abort();
  assert.equal(await waiting, false);
  assert.equal(await wait(), false);
});

const delivery = {
  type: "Delivery",
  sender: "a@b.example",
  recipient: "c@D.example",
  queue: "camp:tenant@queue.example",
  site: "ip-1->d.example@smtp_client",
  response: { code: 250, enhanced_code: { class: 2, subject: 0, detail: 0 }, content: "OK" },
  event_time: "2027-01-15T12:03:04.512Z",
  created_time: "2027-01-15T12:03:04.500Z",
};

test("a record is shown on one line, and nothing of a stranger's text reaches the terminal raw", () => {
  assert.equal(
    formatRecord(delivery),
    "12:03:04 Delivery         a@b.example → c@D.example  250 2.0.0 OK (ip-1->d.example@smtp_client) 0.012s",
  );
  assert.equal(
    formatRecord({
      ...delivery,
      type: "TransientFailure",
      sender: "",
      site: "",
      wait_reason: "MessageRateThrottle",
      response: { code: 451, enhanced_code: null, content: "a\u001b[2Jb\r\n\u009b\u202e" },
    }),
    "12:03:04 TransientFailure <> → c@D.example  451 a\\x1b[2Jb\\x0d\\x0a\\x9b\\u202e [MessageRateThrottle] 0.012s",
  );
  assert.doesNotThrow(() => formatRecord({}));
});

const rejection = {
  type: "Rejection",
  sender: "a@b.example",
  recipient: "c@d.example",
  peer_address: { name: "client.example", addr: "192.0.2.7" },
  response: {
    code: 550,
    enhanced_code: { class: 5, subject: 7, detail: 1 },
    content: "Relaying denied",
    command: "RCPT TO:<c@d.example>",
  },
  event_time: "2027-01-15T12:03:04.512Z",
  created_time: "2027-01-15T12:03:04.512Z",
};

test("a rejection says who was refused what", () => {
  const shown = (command: string | null, more = {}): string =>
    formatRecord({ ...rejection, ...more, response: { ...rejection.response, command } });
  const end = " 550 5.7.1 Relaying denied";
  assert.equal(
    formatRecord(rejection),
    `12:03:04 Rejection        192.0.2.7 (client.example): RCPT TO:<c@d.example> from a@b.example ${end}`,
  );
  const client = "12:03:04 Rejection        192.0.2.7 (client.example)";
  assert.equal(shown("MAIL FROM:<a@b.example>"), `${client}: MAIL FROM:<a@b.example> ${end}`);
  assert.equal(shown("."), `${client}: the message from a@b.example ${end}`);
  assert.equal(shown("FROB \u001b[2J", { sender: "" }), `${client}: FROB \\x1b[2J ${end}`);
  assert.equal(shown(null, { sender: "" }), `${client} ${end}`);
  const nameless = { sender: "", peer_address: { name: "", addr: "2001:db8::1" } };
  assert.equal(shown("QUIT now", nameless), `12:03:04 Rejection        2001:db8::1: QUIT now ${end}`);
  assert.match(
    shown("x".repeat(2000), { peer_address: null }),
    /Rejection {8}unknown client: x{120}… from a@b\.example /,
  );
});

test("filters look at the kind and at the domain of recipient or queue", () => {
  const only = (types: string[], domain: string | null): boolean => matchesFilter(delivery, { types, domain });
  assert.equal(only([], null), true);
  assert.equal(only(["delivery", "bounce"], "d.EXAMPLE"), true);
  assert.equal(only(["Bounce"], null), false);
  assert.equal(only([], "queue.example"), true);
  assert.equal(only([], "b.example"), false);
});

test("tail prints what passes, raw or readable, and steps over torn lines", async (t) => {
  const dir = scratch(t);
  const bounce = JSON.stringify({ ...delivery, type: "Bounce" });
  writeFileSync(join(dir, A), `${JSON.stringify(delivery)}\n{"type":"Deli\n[1]\n${bounce}\n`);
  const printed: string[] = [];
  const options = {
    dir,
    fromBeginning: true,
    live: false,
    wait: assert.fail,
    print: (line: string) => void printed.push(line),
  };
  await tailLog({ ...options, filter: { types: ["Bounce"], domain: null }, json: true });
  assert.deepEqual(printed.splice(0), [bounce]);
  await tailLog({ ...options, filter: { types: [], domain: null }, json: false });
  assert.equal(printed.length, 2);
  assert.equal(parseRecord("null"), null);
});
