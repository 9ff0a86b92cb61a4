import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readTimes } from "../../src/base/times-file.js";
import { DEFAULT_LOAD, type LoadOptions } from "../../src/load/options.js";
import { resultJson } from "../../src/load/result.js";
import { startLoad } from "../../src/load/run.js";
import { DEFAULT_PROFILE, type SinkProfile } from "../../src/sink/options.js";
import { startSinkThread } from "../../src/sink/sink-thread.js";
import type { SinkStats } from "../../src/sink/stats.js";

async function run(load: Partial<LoadOptions>, sink: Partial<SinkProfile> = {}) {
  const running = await startSinkThread({ host: "127.0.0.1", port: 0, profile: { ...DEFAULT_PROFILE, ...sink } });
  try {
    const target = { host: running.host, port: running.port };
    const result = await startLoad({ ...DEFAULT_LOAD, target, ...load }).done;
    return { result, stats: await running.stats() };
  } finally {
    await running.stop();
  }
}

function balance(stats: SinkStats, accepted: number): void {
  assert.equal(stats.messages, accepted);
  assert.equal(stats.recipients, accepted);
}

test("two thousand messages, pipelined", async () => {
  const { result, stats } = await run({ count: 2000 });
  assert.deepEqual([result.accepted, result.failed, result.reconnects, result.error], [2000, 0, 0, null]);
  assert.deepEqual([stats.connections, stats.bytes, result.bytes], [40, 2000 * 1024, 2000 * 1024]);
  balance(stats, 2000);
  const { min, p50, p999, max } = result.latency;
  assert.ok(0 < min && min <= p50 && p50 <= p999 && p999 <= max);
  assert.equal(resultJson(result)["accepted"], 2000);
});

test("one command at a time, few messages a connection, mixed sizes", async () => {
  const sizes = [
    { bytes: 500, weight: 1 },
    { bytes: 100_000, weight: 1 },
  ];
  const { result, stats } = await run({
    count: 300,
    concurrency: 5,
    pipelining: false,
    messagesPerConnection: 10,
    sizes,
  });
  assert.deepEqual([result.accepted, result.failed, result.reconnects], [300, 0, 0]);
  assert.ok(stats.connections >= 30);
  assert.equal(stats.bytes, result.bytes);
  balance(stats, 300);
});

test("refusals at any step are counted by code, and the transaction is reset", async () => {
  for (const refuseAt of ["rcpt", "data"] as const) {
    for (const pipelining of [true, false]) {
      const rates = { bounce: 20, defer: 10 };
      const replies = {
        bounceReplies: { default: [{ code: 550, text: "no" }] },
        deferReplies: { default: [{ code: 450, text: "later" }] },
      };
      const { result, stats } = await run(
        { count: 400, concurrency: 4, pipelining },
        { refuseAt, fallback: rates, ...replies },
      );
      assert.equal(result.accepted + result.failed, 400);
      assert.equal(result.codes["550"], stats.codes["550"]);
      assert.equal(result.codes["450"], stats.codes["450"]);
      assert.ok((result.codes["550"] ?? 0) > 0 && (result.codes["450"] ?? 0) > 0);
      balance(stats, result.accepted);
    }
  }
});

test("421 reconnects, and every message arrives once", async () => {
  const { result, stats } = await run({ count: 300, concurrency: 4 }, { closePercent: 2 });
  assert.deepEqual([result.accepted, result.failed], [300, 0]);
  assert.equal(result.reconnects, stats.codes["421"]);
  assert.ok(result.reconnects > 0);
  balance(stats, 300);
});

test("a rate and a duration", async () => {
  const { result, stats } = await run({ count: null, durationMs: 300, ratePerSecond: 200, concurrency: 2 });
  assert.equal(result.error, null);
  assert.ok(
    result.accepted >= 1 && result.accepted <= 1 + 200 * result.seconds,
    `${result.accepted} in ${result.seconds} s`,
  );
  balance(stats, result.accepted);
});

test("a server that is not there ends the run", async () => {
  const { port } = await (async () => {
    const sink = await startSinkThread({ host: "127.0.0.1", port: 0, profile: DEFAULT_PROFILE });
    await sink.stop();
    return sink;
  })();
  const target = { host: "127.0.0.1", port };
  const result = await startLoad({ ...DEFAULT_LOAD, target, concurrency: 3 }).done;
  assert.equal(result.accepted, 0);
  assert.match(result.error ?? "", /ECONNREFUSED|refused/i);
});

test("a server that goes away for good ends the run in a bounded time, with what was accepted before", async () => {
  const sink = await startSinkThread({ host: "127.0.0.1", port: 0, profile: DEFAULT_PROFILE });
  const target = { host: sink.host, port: sink.port };
  // Neither the count nor the wait for answers ends this run.
  const load = { concurrency: 4, count: 1_000_000_000, timeoutMs: 3_600_000, giveUpMs: 600 };
  const running = startLoad({ ...DEFAULT_LOAD, target, ...load });
  while (running.progress().accepted === 0) await new Promise((resolve) => setImmediate(resolve));
  await sink.stop();
  const result = await running.done;
  assert.ok(result.accepted > 0);
  assert.match(result.error ?? "", /^no connection could be made for 0\.6 s: .*ECONNREFUSED/);
});

test("a server that comes back in time is used again, and how long it was away is forgotten", async () => {
  const first = await startSinkThread({ host: "127.0.0.1", port: 0, profile: DEFAULT_PROFILE });
  const target = { host: first.host, port: first.port };
  const load = { concurrency: 2, count: null, durationMs: 4500, ratePerSecond: 100, giveUpMs: 3000 };
  const running = startLoad({ ...DEFAULT_LOAD, target, ...load });
  while (running.progress().accepted === 0) await new Promise((resolve) => setImmediate(resolve));
  await first.stop();
  const second = await startSinkThread({ ...target, profile: DEFAULT_PROFILE });
  assert.equal((await running.done).error, null);
  assert.ok((await second.stats()).messages > 0);
  await second.stop();
});

test("a warm-up is sent and not counted; counting begins when the caller says so", async () => {
  const directory = mkdtempSync(join(tmpdir(), "hikyaku-test-"));
  const [atSource, atSink] = [join(directory, "source"), join(directory, "sink")];
  const sink = await startSinkThread({ host: "127.0.0.1", port: 0, profile: DEFAULT_PROFILE, times: atSink });
  try {
    const target = { host: sink.host, port: sink.port };
    const load = startLoad({
      ...DEFAULT_LOAD,
      target,
      concurrency: 7,
      warmup: 150,
      hold: true,
      count: 400,
      times: atSource,
    });
    assert.deepEqual((await load.warm).accepted, 150);
    assert.equal((await sink.stats()).messages, 150);
    load.go();
    const result = await load.done;
    assert.deepEqual([result.accepted, result.failed, result.bytes, result.error], [400, 0, 400 * 1024, null]);
    assert.equal((await sink.stats()).messages, 550);
    await sink.stop();

    const numbersOf = (path: string) => {
      const numbers: number[] = [];
      readTimes(path, (number, atUs) => {
        numbers.push(number);
        assert.ok(number <= 150 || atUs >= result.startedUs);
      });
      return numbers.sort((a, b) => a - b);
    };
    const whole = Array.from({ length: 550 }, (_, i) => i + 1);
    assert.deepEqual(numbersOf(atSink), whole);
    assert.deepEqual(numbersOf(atSource), whole.slice(150));
  } finally {
    await sink.stop();
    rmSync(directory, { recursive: true });
  }
});

test("without holding, counting follows the warm-up; a run that is stopped before has no result", async () => {
  const { result, stats } = await run({ warmup: 50, count: 100, concurrency: 3 });
  assert.equal(result.accepted, 100);
  balance(stats, 150);

  const sink = await startSinkThread({ host: "127.0.0.1", port: 0, profile: DEFAULT_PROFILE });
  const load = startLoad({ ...DEFAULT_LOAD, target: { host: sink.host, port: sink.port }, warmup: 20, hold: true });
  await load.warm;
  load.stop();
  load.go();
  const stopped = await load.done;
  assert.deepEqual([stopped.accepted, stopped.bytes, stopped.error], [0, 0, null]);
  await sink.stop();
});

test("a file of moments that cannot be made is a fault at the start", () => {
  const options = { ...DEFAULT_LOAD, target: { host: "127.0.0.1", port: 9 }, times: "/nowhere/times" };
  assert.throws(() => startLoad(options), /\/nowhere\/times/);
});

const TLS = { mode: "offered", certificate: null, key: null, maxVersion: null, fault: "none" } as const;

test("over TLS: every connection secured, latencies as before", async () => {
  const tls = { mode: "required", verify: false, name: "127.0.0.1" } as const;
  const { result, stats } = await run({ count: 200, concurrency: 4, tls }, { tls: { ...TLS, mode: "required" } });
  assert.deepEqual([result.accepted, result.failed, result.error], [200, 0, null]);
  assert.deepEqual([result.tls?.connections, result.tls?.version], [4, "TLSv1.3"]);
  assert.equal(stats.bytes, result.bytes);
  assert.ok(result.latency.p50 > 0 && result.latency.p50 <= result.latency.p999);
  balance(stats, 200);
});

test("without TLS where it is not offered, unless it is required: then the run ends and says why", async () => {
  const tls = { mode: "opportunistic", verify: true, name: "127.0.0.1" } as const;
  const clear = await run({ count: 20, concurrency: 2, tls });
  assert.deepEqual([clear.result.accepted, clear.result.tls], [20, null]);
  const none = await run({ count: 20, concurrency: 2, giveUpMs: 500, tls: { ...tls, mode: "required" } });
  assert.equal(none.result.accepted, 0);
  assert.equal(none.result.reconnects, 2, "a server that greets and then lets nobody in is not tried for long");
  assert.match(none.result.error ?? "", /the server does not offer STARTTLS/);
});

test("a certificate that proves nothing is not taken when it is looked at", async () => {
  const tls = { mode: "opportunistic", verify: true, name: "127.0.0.1" } as const;
  const { result, stats } = await run({ count: 20, concurrency: 2, giveUpMs: 500, tls }, { tls: TLS });
  assert.match(result.error ?? "", /TLS: self-signed certificate/);
  assert.deepEqual([result.accepted, stats.messages, result.tls], [0, 0, null]);
});
