import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import * as packet from "dns-packet";
import fc from "fast-check";
import { ManualClock } from "../../src/base/clock.js";
import { SeededRandom } from "../../src/base/random.js";
import { type Exchange, networkExchange } from "../../src/dns/exchange.js";
import { failure, type Lookup } from "../../src/dns/lookup.js";
import { threadMeter } from "../../src/dns/meter.js";
import { MAX_CONCURRENT, MAX_WAITING, Resolver, type ResolverOptions } from "../../src/dns/resolver.js";
import { SecureRandom } from "../../src/dns/secure-random.js";
import { parseZone } from "../../src/dns/static-zone.js";
import { readResponse } from "../../src/dns/wire.js";
import { HISTOGRAM_DOUBLES } from "../../src/protocol/histograms.js";
import { COUNTER_COUNT, Counter } from "../../src/protocol/metrics.js";
import { a, cname, FakeServer, mx, type ResponseParts, respond, type Script, soa } from "./fake-server.js";

const NXDOMAIN = 3;
const SERVFAIL = 2;
const REFUSED = 5;

interface Setup {
  readonly resolver: Resolver;
  readonly servers: readonly FakeServer[];
  readonly clock: ManualClock;
}

/** Runs `use` with a resolver and one fake server per script. */
async function withServers(
  scripts: readonly Script[],
  use: (setup: Setup) => Promise<void>,
  options: Partial<ResolverOptions> = {},
): Promise<void> {
  const servers = await Promise.all(scripts.map((script) => FakeServer.start(script)));
  const clock = new ManualClock();
  const resolver = new Resolver({
    clock,
    random: new SeededRandom(7),
    exchange: networkExchange,
    servers: servers.map((server) => server.address),
    timeoutMs: 2000,
    ...options,
  });
  try {
    await use({ resolver, servers, clock });
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

function values(lookup: Lookup): readonly string[] {
  return lookup.kind === "found" ? lookup.records.map((record) => record.value) : [lookup.kind];
}

function codeOf(lookup: Lookup): string {
  return lookup.kind === "failed" ? lookup.code : lookup.kind;
}

test("a plain answer; the name may be written in any case, with a final dot", async () => {
  await withServers(
    [(asked) => [respond(asked, { answers: [a("Host.Example", "192.0.2.1")] })]],
    async ({ resolver, servers }) => {
      assert.deepEqual(values(await resolver.lookup("HOST.example.", "A")), ["192.0.2.1"]);
      assert.equal(servers[0]?.asked[0]?.name, "host.example");
    },
  );
});

test("the case of a question is chance's, and an answer by UDP must know it", async () => {
  const written: string[] = [];
  const script: Script = (asked) => {
    written.push(asked.written);
    return [respond(asked, { answers: [a(asked.name, "192.0.2.1")] })];
  };
  await withServers([script], async ({ resolver, servers }) => {
    const names = Array.from({ length: 8 }, (_, index) => `alphabetical${index}.example`);
    for (const name of names) assert.deepEqual(values(await resolver.lookup(name, "A")), ["192.0.2.1"]);
    assert.ok(written.every((one, index) => one !== names[index] && one.toLowerCase() === names[index]));
    assert.ok(servers[0]?.asked.every((one) => one.via === "udp"));
  });
});

test("an answer in another case is asked for over TCP; then the server is known to have a case of its own", async () => {
  const script: Script = (asked) => {
    const forged = asked.via === "udp" && asked.written !== asked.name;
    const question = { name: asked.name, type: "A" } as const;
    return [respond(asked, { question, answers: [a(asked.name, forged ? "203.0.113.1" : "192.0.2.1")] })];
  };
  await withServers([script], async ({ resolver, servers }) => {
    for (const name of ["one.alphabet.example", "two.alphabet.example"]) {
      assert.deepEqual(values(await resolver.lookup(name, "A")), ["192.0.2.1"]);
    }
    assert.deepEqual(
      servers[0]?.asked.map((asked) => `${asked.via} ${asked.written === asked.name}`),
      ["udp false", "tcp false", "udp true"],
    );
  });
});

test("one forged answer in another case costs a question over TCP and nothing else", async () => {
  const script: Script = (asked, sequence) => {
    const good = respond(asked, { answers: [a(asked.name, "192.0.2.1")] });
    if (sequence > 1) return [good];
    return [respond(asked, { question: { name: asked.name, type: "A" }, answers: [a(asked.name, "203.0.113.1")] })];
  };
  await withServers([script], async ({ resolver, servers }) => {
    for (const name of ["one.alphabet.example", "two.alphabet.example"]) {
      assert.deepEqual(values(await resolver.lookup(name, "A")), ["192.0.2.1"]);
    }
    assert.deepEqual(
      servers[0]?.asked.map((asked) => `${asked.via} ${asked.written === asked.name}`),
      ["udp false", "tcp false", "udp false"],
    );
  });
});

test("a server with a case of its own that cannot be asked over TCP is asked in lower case", async () => {
  const script: Script = (asked) => {
    if (asked.via === "tcp") return ["close"];
    const question = { name: asked.name, type: "A" } as const;
    return [respond(asked, { question, answers: [a(asked.name, "192.0.2.1")] })];
  };
  await withServers([script], async ({ resolver, servers }) => {
    assert.deepEqual(values(await resolver.lookup("alphabet.example", "A")), ["192.0.2.1"]);
    assert.deepEqual(
      servers[0]?.asked.map((asked) => `${asked.via} ${asked.written === asked.name}`),
      ["udp false", "tcp false", "udp true"],
    );
  });
});

test("a server that does not know OPT records is asked without, from then on", async () => {
  const badvers: packet.Answer = {
    type: "OPT",
    name: ".",
    udpPayloadSize: 512,
    extendedRcode: 1,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
  const refusals: readonly ResponseParts[] = [{ rcode: 1 }, { rcode: 4 }, { additionals: [badvers] }];
  for (const refusal of refusals) {
    const script: Script = (asked) => [
      respond(asked, asked.edns ? refusal : { answers: [a(asked.name, "192.0.2.1")] }),
    ];
    await withServers([script], async ({ resolver, servers }) => {
      assert.deepEqual(values(await resolver.lookup("one.example", "A")), ["192.0.2.1"]);
      assert.deepEqual(values(await resolver.lookup("two.example", "A")), ["192.0.2.1"]);
      assert.deepEqual(
        servers[0]?.asked.map((asked) => asked.edns),
        [true, false, false],
      );
    });
  }
});

test("TLSA records and texts of several parts; a malformed record is not the same as none", async () => {
  const tlsa: packet.Answer = {
    type: "TLSA",
    name: "_25._tcp.mx.example",
    ttl: 60,
    data: { usage: 3, selector: 1, matchingType: 1, certificate: Buffer.from("ab".repeat(32), "hex") },
  };
  const script: Script = (asked) => {
    if (asked.type === "TXT")
      return [respond(asked, { answers: [{ type: "TXT", name: asked.name, data: ["v=1", ";x"] }] })];
    const whole = respond(asked, { answers: [{ ...tlsa, name: asked.name }] });
    // The length of the record's data says 2: less than the three numbers.
    if (asked.name.startsWith("_26.")) whole.writeUInt16BE(2, whole.length - 37);
    return [whole];
  };
  await withServers(
    [script],
    async ({ resolver }) => {
      assert.deepEqual(values(await resolver.lookup("_25._tcp.mx.example", "TLSA")), [`3 1 1 ${"ab".repeat(32)}`]);
      assert.deepEqual(values(await resolver.lookup("t.example", "TXT")), ["v=1;x"]);
      assert.deepEqual(values(await resolver.lookup("_26._tcp.mx.example", "TLSA")), ["3 1 1 "]);
    },
    { timeoutMs: 200 },
  );
});

test("limits of the configuration: look-ups at once, waiting ones, life of negative answers; and what is counted", async () => {
  const counters = new Float64Array(COUNTER_COUNT);
  const histograms = new Float64Array(HISTOGRAM_DOUBLES);
  const held: (() => void)[] = [];
  const exchange: Exchange = (_server, question) =>
    new Promise((resolve) => {
      held.push(() => resolve(failure("dns.servfail", question.name)));
    });
  const options = { exchange, maxConcurrent: 2, maxWaiting: 1, servers: [{ host: "127.0.0.1", port: 9 }] };
  await withServers(
    [],
    async ({ resolver }) => {
      const asked = ["a", "b", "c"].map((name) => resolver.lookup(`${name}.example`, "A"));
      const fourth = await resolver.lookup("d.example", "A");
      assert.equal(codeOf(fourth), "dns.busy");
      assert.equal(held.length, 2);
      assert.equal(counters[Counter.dnsInProgress], 3);
      while (resolver.inProgress > 0) {
        held.shift()?.();
        await new Promise((resolve) => setImmediate(resolve));
      }
      assert.deepEqual((await Promise.all(asked)).map(codeOf), ["dns.servfail", "dns.servfail", "dns.servfail"]);
      await resolver.lookup("a.example", "A");
    },
    { ...options, meter: threadMeter(counters, histograms) },
  );
  const counted = [
    Counter.dnsInProgress,
    Counter.dnsServfails,
    Counter.dnsBusy,
    Counter.dnsCacheHits,
    Counter.dnsQueries,
  ];
  assert.deepEqual(
    counted.map((counter) => counters[counter]),
    [0, 3, 1, 1, 3],
  );
  const script: Script = (asked) => [respond(asked, { rcode: NXDOMAIN, authorities: [soa("example", 600)] })];
  await withServers(
    [script],
    async ({ resolver }) => assert.equal((await resolver.lookup("x.example", "A")).ttlMs, 20_000),
    { negativeTtlMs: 20_000 },
  );
});

test("wrong answers are passed over until the right one comes", async () => {
  const script: Script = (asked) => [
    respond(asked, { id: asked.id ^ 1, answers: [a(asked.name, "203.0.113.1")] }),
    respond(asked, { question: { name: "other.example", type: "A" }, answers: [a(asked.name, "203.0.113.2")] }),
    respond(asked, { question: { name: asked.name, type: "AAAA" }, answers: [a(asked.name, "203.0.113.3")] }),
    respond(asked, { question: null, answers: [a(asked.name, "203.0.113.4")] }),
    packet.encode({ type: "query", id: asked.id, questions: [{ name: asked.name, type: "A" }] }),
    Buffer.from([0, 1, 2]),
    Buffer.alloc(0),
    respond(asked, { answers: [a(asked.name, "192.0.2.1")] }).subarray(0, 30),
    respond(asked, { answers: [a(asked.name, "192.0.2.1")] }),
  ];
  await withServers([script], async ({ resolver, servers }) => {
    assert.deepEqual(values(await resolver.lookup("host.example", "A")), ["192.0.2.1"]);
    assert.equal(servers[0]?.asked.length, 1);
  });
});

test("an answer from another address than the server's is not taken", async () => {
  const stranger = createSocket("udp4");
  stranger.bind(0, "127.0.0.1");
  await once(stranger, "listening");
  const script: Script = (asked) => {
    stranger.send(respond(asked, { answers: [a(asked.name, "203.0.113.1")] }), asked.port, "127.0.0.1");
    return [];
  };
  await withServers(
    [script],
    async ({ resolver }) => {
      assert.equal(codeOf(await resolver.lookup("host.example", "A")), "dns.timeout");
    },
    { timeoutMs: 100 },
  );
  stranger.close();
});

test("a flood of wrong answers moves the question to TCP", async () => {
  const script: Script = (asked) => {
    if (asked.via === "tcp") return [respond(asked, { answers: [a(asked.name, "192.0.2.1")] })];
    return Array.from({ length: 25 }, () => respond(asked, { id: asked.id ^ 5 }));
  };
  await withServers([script], async ({ resolver, servers }) => {
    assert.deepEqual(values(await resolver.lookup("host.example", "A")), ["192.0.2.1"]);
    assert.deepEqual(
      servers[0]?.asked.map((asked) => asked.via),
      ["udp", "tcp"],
    );
  });
});

test("a truncated answer is asked for again over TCP", async () => {
  const many = Array.from({ length: 200 }, (_, index) => mx("big.example", index, `mx${index}.big.example`));
  const script: Script = (asked) =>
    asked.via === "udp"
      ? [respond(asked, { flags: packet.TRUNCATED_RESPONSE, answers: many.slice(0, 2) })]
      : [respond(asked, { answers: many })];
  await withServers([script], async ({ resolver, servers }) => {
    assert.equal(values(await resolver.lookup("big.example", "MX")).length, 200);
    assert.deepEqual(
      servers[0]?.asked.map((asked) => asked.via),
      ["udp", "tcp"],
    );
  });
});

test("an answer that was cut inside a record is asked for again over TCP as well", async () => {
  const answers = [a("host.example", "192.0.2.1"), a("host.example", "192.0.2.2")];
  const script: Script = (asked) => {
    if (asked.via === "tcp") return [respond(asked, { answers })];
    const whole = respond(asked, { flags: packet.TRUNCATED_RESPONSE, answers });
    return [whole.subarray(0, whole.length - 3)];
  };
  await withServers([script], async ({ resolver, servers }) => {
    assert.deepEqual(values(await resolver.lookup("host.example", "A")), ["192.0.2.1", "192.0.2.2"]);
    assert.deepEqual(
      servers[0]?.asked.map((asked) => asked.via),
      ["udp", "tcp"],
    );
  });
});

test("records of another class than IN are not taken", async () => {
  const chaos: packet.Answer = { type: "A", name: "host.example", data: "203.0.113.1", ttl: 300, class: "CH" };
  const script: Script = (asked) => [respond(asked, { answers: [chaos, a("host.example", "192.0.2.1")] })];
  await withServers([script], async ({ resolver }) => {
    assert.deepEqual(values(await resolver.lookup("host.example", "A")), ["192.0.2.1"]);
  });
});

test("TCP that closes, lies about itself or stays truncated is a failed lookup", async () => {
  const over: readonly (readonly [string, Script])[] = [
    ["closes", () => ["close"]],
    ["wrong number", (asked) => [respond(asked, { id: asked.id ^ 1 })]],
    ["still truncated", (asked) => [respond(asked, { flags: packet.TRUNCATED_RESPONSE })]],
    ["garbage", () => [Buffer.from("HTTP/1.1 400 Bad Request")]],
  ];
  for (const [name, tcp] of over) {
    const script: Script = (asked, sequence) =>
      asked.via === "udp" ? [respond(asked, { flags: packet.TRUNCATED_RESPONSE })] : tcp(asked, sequence);
    await withServers([script], async ({ resolver }) => {
      assert.equal(codeOf(await resolver.lookup("host.example", "A")), "dns.malformed", name);
    });
  }
});

test("NXDOMAIN, no data, SERVFAIL, refusal, silence and garbage are told apart", async () => {
  const cases: readonly (readonly [string, Script])[] = [
    ["nxdomain", (asked) => [respond(asked, { rcode: NXDOMAIN, authorities: [soa("example", 60)] })]],
    ["nxdomain", (asked) => [respond(asked, { rcode: NXDOMAIN })]],
    ["nodata", (asked) => [respond(asked, { authorities: [soa("example", 60)] })]],
    ["nodata", (asked) => [respond(asked)]],
    ["dns.servfail", (asked) => [respond(asked, { rcode: SERVFAIL })]],
    ["dns.servfail", (asked) => [respond(asked, { rcode: SERVFAIL, question: null })]],
    ["dns.servfail", (asked) => [respond(asked, { rcode: 4 })]],
    [
      "dns.servfail",
      (asked) => [respond(asked, { authorities: [{ type: "NS", name: "example", data: "ns.example" }] })],
    ],
    ["dns.refused", (asked) => [respond(asked, { rcode: REFUSED })]],
    ["dns.timeout", () => []],
    ["dns.timeout", (asked) => [respond(asked, { id: asked.id ^ 1 })]],
    ["dns.malformed", (asked) => [respond(asked, { answers: [a(asked.name, "192.0.2.1")] }).subarray(0, 40)]],
    ["dns.malformed", (asked) => [respond(asked, { answers: [cname(asked.name, `${"a".repeat(60)} .example`)] })]],
  ];
  for (const [expected, script] of cases) {
    await withServers(
      [script],
      async ({ resolver }) => {
        assert.equal(codeOf(await resolver.lookup("host.example", "A")), expected);
      },
      { timeoutMs: 120 },
    );
  }
});

test("nobody listens: refused, at once", async () => {
  const gone = await FakeServer.start(() => []);
  await gone.stop();
  await withServers(
    [],
    async ({ resolver }) => {
      assert.equal(codeOf(await resolver.lookup("host.example", "A")), "dns.refused");
    },
    { servers: [gone.address], timeoutMs: 20_000 },
  );
});

test("servers are asked in turn; a broken one costs one question, a lost packet is sent again", async () => {
  const good: Script = (asked) => [respond(asked, { answers: [a(asked.name, "192.0.2.1")] })];
  const broken: Script = (asked) => [respond(asked, { rcode: SERVFAIL })];
  await withServers([broken, good], async ({ resolver, servers }) => {
    for (const name of ["one.example", "two.example", "three.example"]) {
      assert.deepEqual(values(await resolver.lookup(name, "A")), ["192.0.2.1"]);
    }
    assert.deepEqual(
      servers.map((server) => server.asked.length),
      [2, 3],
    );
  });
  const forgetful: Script = (asked, sequence) => (sequence === 1 ? [] : good(asked, sequence));
  await withServers(
    [forgetful],
    async ({ resolver, servers }) => {
      assert.deepEqual(values(await resolver.lookup("one.example", "A")), ["192.0.2.1"]);
      assert.equal(servers[0]?.asked.length, 2);
    },
    { timeoutMs: 400 },
  );
});

test("each question has its own number and its own port", async () => {
  const script: Script = (asked) => [respond(asked, { answers: [a(asked.name, "192.0.2.1")] })];
  await withServers(
    [script],
    async ({ resolver, servers }) => {
      const names = Array.from({ length: 20 }, (_, index) => `host${index}.example`);
      await Promise.all(names.map((name) => resolver.lookup(name, "A")));
      const asked = servers[0]?.asked ?? [];
      assert.ok(new Set(asked.map((one) => one.id)).size > 15);
      assert.ok(new Set(asked.map((one) => one.port)).size > 15);
    },
    { random: new SecureRandom() },
  );
});

test("answers are kept for their time, inside bounds", async () => {
  const script: Script = (asked) => {
    if (asked.name.startsWith("none")) return [respond(asked, { rcode: NXDOMAIN, authorities: [soa("example", 20)] })];
    if (asked.name.startsWith("fail")) return [respond(asked, { rcode: SERVFAIL })];
    if (asked.name.startsWith("zero")) return [respond(asked, { answers: [a(asked.name, "192.0.2.1", 0)] })];
    if (asked.name.startsWith("ever")) return [respond(asked, { answers: [a(asked.name, "192.0.2.1", 0x7fffffff)] })];
    return [respond(asked, { answers: [a(asked.name, "192.0.2.1", 30), a(asked.name, "192.0.2.2", 10)] })];
  };
  await withServers([script], async ({ resolver, servers, clock }) => {
    const expectLife = async (name: string, lifeMs: number) => {
      const before = servers[0]?.asked.length ?? 0;
      const first = await resolver.lookup(name, "A");
      assert.equal(first.ttlMs, lifeMs, name);
      clock.advance(lifeMs - 1);
      const second = await resolver.lookup(name, "A");
      assert.equal(second.ttlMs, 1, name);
      assert.deepEqual({ ...second, ttlMs: 0 }, { ...first, ttlMs: 0 });
      assert.equal(servers[0]?.asked.length, before + 1, `${name} came from the cache`);
      clock.advance(1);
      await resolver.lookup(name, "A");
      assert.equal(servers[0]?.asked.length, before + 2, `${name} was asked again`);
    };
    await expectLife("host.example", 10_000);
    await expectLife("none.example", 20_000);
    await expectLife("fail.example", 60_000);
    await expectLife("zero.example", 1000);
    await expectLife("ever.example", 86_400_000);
  });
});

test("negative answers live five minutes at most", async () => {
  await withServers([(asked) => [respond(asked, { authorities: [soa("example", 86_400)] })]], async ({ resolver }) => {
    assert.deepEqual(await resolver.lookup("host.example", "MX"), { kind: "nodata", ttlMs: 300_000, authentic: false });
  });
});

test("a full cache forgets what was not asked for longest", async () => {
  const script: Script = (asked) => [respond(asked, { answers: [a(asked.name, "192.0.2.1")] })];
  await withServers(
    [script],
    async ({ resolver, servers }) => {
      for (const name of ["a.example", "b.example", "a.example", "c.example", "a.example", "b.example"]) {
        await resolver.lookup(name, "A");
      }
      assert.deepEqual(
        servers[0]?.asked.map((asked) => asked.name),
        ["a.example", "b.example", "c.example", "b.example"],
      );
    },
    { cacheEntries: 2 },
  );
});

test("the same question is asked once at a time", async () => {
  const script: Script = (asked) => [respond(asked, { answers: [a(asked.name, "192.0.2.1")] })];
  await withServers([script], async ({ resolver, servers }) => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => resolver.lookup("host.example", "A")));
    assert.equal(servers[0]?.asked.length, 1);
    assert.ok(answers.every((answer) => answer.kind === "found"));
    assert.equal(resolver.inProgress, 0);
  });
});

test("aliases: inside one answer, over several, in a circle, too many", async () => {
  const script: Script = (asked) => {
    const answers: Record<string, packet.Answer[]> = {
      "whole.example": [
        cname("whole.example", "b.example", 5),
        cname("b.example", "c.example"),
        a("c.example", "192.0.2.1"),
      ],
      "part.example": [cname("part.example", "end.example", 5)],
      "end.example": [a("end.example", "192.0.2.2")],
      "circle.example": [cname("circle.example", "circle2.example"), cname("circle2.example", "circle.example")],
      "ring.example": [cname("ring.example", "ring2.example")],
      "ring2.example": [cname("ring2.example", "ring.example")],
    };
    const step = /^n(\d+)\.example$/.exec(asked.name)?.[1];
    if (step !== undefined) return [respond(asked, { answers: [cname(asked.name, `n${Number(step) + 1}.example`)] })];
    if (asked.name === "gone.example") {
      return [respond(asked, { rcode: NXDOMAIN, answers: [cname("gone.example", "nowhere.example")] })];
    }
    return [respond(asked, { answers: answers[asked.name] ?? [] })];
  };
  await withServers([script], async ({ resolver, servers }) => {
    const whole = await resolver.lookup("whole.example", "A");
    assert.deepEqual([values(whole), whole.ttlMs], [["192.0.2.1"], 5000]);
    const part = await resolver.lookup("part.example", "A");
    assert.deepEqual([values(part), part.ttlMs], [["192.0.2.2"], 5000]);
    assert.equal((await resolver.lookup("gone.example", "A")).kind, "nxdomain");
    for (const name of ["circle.example", "ring.example"]) {
      assert.equal(codeOf(await resolver.lookup(name, "A")), "dns.loop", name);
    }
    const before = servers[0]?.asked.length ?? 0;
    assert.equal(codeOf(await resolver.lookup("n0.example", "A")), "dns.loop");
    assert.ok((servers[0]?.asked.length ?? 0) - before <= 11, "a bounded number of questions");
  });
});

test("the AD bit is asked for and believed only when told to", async () => {
  const script: Script = (asked) => [
    respond(asked, { flags: packet.AUTHENTIC_DATA, answers: [a(asked.name, "192.0.2.1")] }),
  ];
  for (const trustAuthentic of [false, true]) {
    await withServers(
      [script],
      async ({ resolver, servers }) => {
        const answer = await resolver.lookup("host.example", "A");
        assert.equal(answer.kind === "found" && answer.authentic, trustAuthentic);
        assert.equal(((servers[0]?.asked[0]?.flags ?? 0) & packet.AUTHENTIC_DATA) !== 0, trustAuthentic);
      },
      { trustAuthentic },
    );
  }
});

test("what can be no name is not asked", async () => {
  await withServers([() => []], async ({ resolver, servers }) => {
    for (const name of [
      "",
      ".",
      "a..b",
      "a b.example",
      `${"x".repeat(64)}.example`,
      "x.".repeat(130),
      "a\u0000b",
      "\u98db.example",
    ]) {
      assert.equal((await resolver.lookup(name, "A")).kind, "nxdomain", JSON.stringify(name));
    }
    assert.equal(servers[0]?.asked.length, 0);
  });
});

test("the zone file comes first, and its aliases lead outside", async () => {
  const zone = parseZone("here.example. A 192.0.2.9\nalias.example. CNAME there.example.\n", "zone");
  const script: Script = (asked) => [respond(asked, { answers: [a(asked.name, "192.0.2.1")] })];
  await withServers(
    [script],
    async ({ resolver, servers }) => {
      assert.deepEqual(values(await resolver.lookup("here.example", "A")), ["192.0.2.9"]);
      assert.deepEqual(values(await resolver.lookup("here.example", "MX")), ["nodata"]);
      assert.deepEqual(values(await resolver.lookup("alias.example", "A")), ["192.0.2.1"]);
      assert.deepEqual(
        servers[0]?.asked.map((asked) => asked.name),
        ["there.example"],
      );
    },
    { zone },
  );
});

test("at most so many questions at once; then they wait, then they fail", async () => {
  const waiting: (() => void)[] = [];
  let most = 0;
  let open = 0;
  const exchange: Exchange = async (_server, question) => {
    most = Math.max(most, ++open);
    await new Promise<void>((resolve) => waiting.push(resolve));
    open--;
    const bytes = packet.encode({ type: "response", id: question.id, questions: [{ name: question.name, type: "A" }] });
    const received = readResponse(bytes, question);
    return received.kind === "response" ? received : assert.fail();
  };
  const resolver = new Resolver({
    clock: new ManualClock(),
    random: new SeededRandom(1),
    exchange,
    servers: [{ host: "127.0.0.1", port: 53 }],
    timeoutMs: 1000,
  });
  const total = MAX_CONCURRENT + MAX_WAITING;
  const answers = Array.from({ length: total }, (_, index) => resolver.lookup(`host${index}.example`, "A"));
  assert.equal(codeOf(await resolver.lookup("one-too-many.example", "A")), "dns.busy");
  assert.equal(waiting.length, MAX_CONCURRENT);
  const all = Promise.all(answers);
  let finished = false;
  void all.then(() => {
    finished = true;
  });
  while (!finished) {
    for (const go of waiting.splice(0)) go();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(most, MAX_CONCURRENT);
  assert.ok((await all).every((answer) => answer.kind === "nodata"));
  assert.equal(resolver.inProgress, 0);
});

test("no bytes of a server make reading throw", () => {
  const question = {
    id: 0x1234,
    name: "host.example",
    written: "host.example",
    type: "MX",
    edns: false,
    wantAuthentic: false,
  } as const;
  const good = respond(
    {
      id: 0x1234,
      name: "host.example",
      written: "host.example",
      edns: false,
      type: "MX",
      via: "udp",
      port: 1,
      flags: 0,
    },
    {
      answers: [mx("host.example", 1, "mx.host.example"), cname("a.example", "b.example")],
      authorities: [soa("example", 5)],
    },
  );
  assert.equal(readResponse(good, question).kind, "response");
  const bytes = fc.uint8Array({ maxLength: 200 }).map((random) => Buffer.from(random));
  fc.assert(
    fc.property(bytes, (noise) => {
      const kind = readResponse(Buffer.concat([Buffer.from([0x12, 0x34, 0x80]), noise]), question).kind;
      assert.ok(kind === "stray" || kind === "malformed" || kind === "response");
    }),
    { numRuns: 2000 },
  );
  const damage = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(damage, fc.nat(good.length), (changes, length) => {
      const damaged = Buffer.from(good);
      for (const [at, value] of changes) damaged[at] = value;
      readResponse(damaged.subarray(0, length), question);
    }),
    { numRuns: 2000 },
  );
});

test("a packet that says it holds thousands of records is not unpacked", () => {
  const header = Buffer.from([0x12, 0x34, 0x81, 0x80, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
  const bytes = Buffer.concat([header, Buffer.alloc(60_000, 0xc0)]);
  const question = {
    id: 0x1234,
    name: "host.example",
    written: "host.example",
    type: "MX",
    edns: false,
    wantAuthentic: false,
  } as const;
  assert.equal(readResponse(bytes, question).kind, "malformed");
  const asked = {
    id: 0x1234,
    name: "host.example",
    written: "host.example",
    edns: false,
    type: "MX",
    via: "tcp",
    port: 1,
    flags: 0,
  } as const;
  const answers = (count: number) => Array.from({ length: count }, () => a("a.b", "192.0.2.1"));
  assert.equal(readResponse(respond(asked, { answers: answers(1000) }), question).kind, "response");
  assert.equal(readResponse(respond(asked, { answers: answers(1001) }), question).kind, "malformed");
});
