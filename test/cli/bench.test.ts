import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { run } from "./command.js";

const directory = mkdtempSync(join(tmpdir(), "hikyaku-test-"));
after(() => rmSync(directory, { recursive: true }));
const json = join(directory, "report.json");
const page = join(directory, "report.html");
const spools = mkdtempSync(join(directory, "spools-"));
const LOAD = ["--count", "400", "--warmup", "100", "--concurrency", "8", "--workers", "1", "--dir", spools];

test("the real server, with refusals at the sink: every message is accounted for; then the same against its report", async () => {
  const refusals = ["--defer", "10", "--bounce", "10", "--domains", "30", "--zipf", "1"];
  const more = [...refusals, "--baseline", "own", "--rounds", "1"];
  const { code, out, err } = await run("bench", ...LOAD, ...more, "--json", json, "--html", page);
  assert.equal(code, 0, err);
  assert.match(out, /^400 messages of 1k, 8 connections, flushed, 1 worker, 30 domains \(Zipf 1\), 10 % deferred/);
  const report = JSON.parse(readFileSync(json, "utf8"));
  const { accepted, delivered, bounced, waiting, transit, spool, server } = report.result;
  assert.deepEqual([report.version, accepted, delivered + bounced + waiting], [1, 400, 400]);
  assert.ok(bounced > 10 && waiting > 10 && delivered > 250, `${delivered}, ${bounced}, ${waiting}`);
  assert.equal(transit.count, delivered);
  // A store for each message, and a removal for each that is settled.
  assert.ok(spool.operations >= 400 + delivered + bounced, `${spool.operations} operations`);
  assert.ok(spool.batches > 0 && spool.batches <= spool.operations);
  assert.ok(report.baseline.ratios.throughput > 0);
  assert.equal(server.threads.length > 2, server.cpu_us_per_message !== null);
  assert.match(readFileSync(page, "utf8"), /<svg /);
  assert.match(
    readFileSync(page, "utf8"),
    /<span>bench<\/span> <span>--count<\/span> <span>400<.*report\.html<\/span><\/code>/,
  );
  assert.deepEqual(readdirSync(spools), []);

  // As fast as it can never be: a regression.
  report.baseline.ratios.throughput *= 1000;
  writeFileSync(json, JSON.stringify(report));
  const again = await run("bench", ...LOAD, ...more, "--compare", json, "--tolerance", "90");
  assert.equal(again.code, 1, again.out + again.err);
  assert.match(again.out, /throughput by baseline .*REGRESSION/);
});

test("what was refused for now is tried again with --retry, and everything arrives", async () => {
  const refusals = ["--defer", "30", "--retry", "1s", "--no-pipelining", "--messages-per-connection", "20"];
  const { code, out, err } = await run("bench", ...LOAD, ...refusals, "--json");
  assert.equal(code, 0, err);
  const { result } = JSON.parse(out);
  assert.deepEqual([result.delivered, result.bounced, result.waiting], [400, 0, 0]);
  assert.ok(result.transit.latency_ms.max >= 900, `${result.transit.latency_ms.max} ms`);
});

test("what cannot go together or be compared is refused before anything is measured", async () => {
  for (const [args, code, message] of [
    [["--sweep", "1,2", "--workers", "1"], 2, /--sweep and --workers exclude each other/],
    [["--load", "50%", "--rate", "10"], 2, /--load and --rate exclude/],
    [["--defer", "60", "--bounce", "60"], 2, /more than 100/],
    [["--baseline", "smtp", "--size", "mixed"], 2, /smtp needs one --size/],
    [["--baseline", "smtp", "--duration", "5s"], 2, /smtp needs --count/],
    [["--sweep", "0"], 2, /whole number from 1/],
    [["--compare", join(directory, "none.json")], 1, /none\.json/],
    [["--html", join(directory, "none", "page.html")], 1, /page\.html/],
    [["--json", join(directory, "none", "report.json")], 1, /report\.json/],
    [["--compare", json, "--size", "10k"], 2, /report\.json is of another load: size was 1k, is 10k/],
    [["--compare", json, "--rate", "50"], 2, /rate was as many as the server takes, is 50 a second/],
    [["--compare", json], 2, /workers was 1, is the server's own choice/],
    [["--count", "10", "--duration", "5s"], 2, /--count and --duration exclude each other/],
    [["--zipf", "1"], 2, /--zipf does nothing without --domains/],
    [["--tolerance", "5"], 2, /--tolerance does nothing without --compare/],
    [["--retry", "2s"], 2, /--retry does nothing without --defer/],
    [["--defer", "5", "--retry", "100ms"], 2, /whole seconds, at least 1s/],
    [["--size", "3"], 2, /--size 3: the headers of a message take \d+ bytes/],
  ] as const) {
    const done = await run("bench", ...args);
    assert.equal(done.code, code, done.err);
    assert.match(done.err, message);
  }
  for (const [args, message] of [
    [["--count", "10", "--duration", "5s"], /--count and --duration exclude each other/],
    [["--zipf", "1"], /--zipf does nothing without --domains/],
    [["--domain", "a.example", "--domains", "2"], /--domain and --domains exclude/],
    [["--size", "3"], /--size 3: the headers of a message take \d+ bytes/],
  ] as const) {
    const done = await run("generate", ...args);
    assert.deepEqual([done.code, done.out], [2, ""]);
    assert.match(done.err, message);
  }
});
