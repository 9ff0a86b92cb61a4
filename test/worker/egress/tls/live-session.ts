import assert from "node:assert/strict";
import type { PathId, Row, SessionId, ShardIndex, SpoolKey } from "../../../../src/base/brands.js";
import { SystemClock } from "../../../../src/base/clock.js";
import type { PathConfig, ProxyConfig } from "../../../../src/config/compiled.js";
import { PATH_DEFAULTS } from "../../../../src/config/path-settings.js";
import { loadNative } from "../../../../src/native/load.js";
import { COUNTER_COUNT } from "../../../../src/protocol/metrics.js";
import type { DaneState, StsState, TlsOutcome } from "../../../../src/protocol/tls-policy.js";
import type { Certified } from "../../../../src/sink/certificate.js";
import { makeCertificate } from "../../../../src/sink/certificate.js";
import { DEFAULT_PROFILE, type SinkAuth, type SinkEnvelope, type SinkTls } from "../../../../src/sink/options.js";
import { type RunningSink, startSink } from "../../../../src/sink/sink.js";
import { EgressPath } from "../../../../src/worker/egress/path.js";
import { connectThrough } from "../../../../src/worker/egress/proxy/through.js";
import { EgressSession } from "../../../../src/worker/egress/session.js";
import { TlsDesk } from "../../../../src/worker/egress/tls/desk.js";
import type { TlsFacts } from "../../../../src/worker/egress/tls/handshake.js";
import type { Fate } from "../../../../src/worker/egress/verdict.js";
import { message } from "../../../smtp/client-harness.js";
import { spooled } from "../session-harness.js";

const DAY_MS = 86_400_000;
const nowMs = Date.now();
const always = { notBeforeMs: nowMs - DAY_MS, notAfterMs: nowMs + DAY_MS };

/** An authority of the tests, what it signed for `mx.example`, and what is wrong in one way each. */
export const authority = makeCertificate({ names: ["Test Authority"], ...always, issuer: null, authority: true });
export const certificates = {
  good: makeCertificate({ names: ["mx.example"], ...always, issuer: authority, authority: false }),
  otherName: makeCertificate({ names: ["other.example"], ...always, issuer: authority, authority: false }),
  expired: makeCertificate({
    names: ["mx.example"],
    notBeforeMs: nowMs - 2 * DAY_MS,
    notAfterMs: nowMs - DAY_MS,
    issuer: authority,
    authority: false,
  }),
  selfSigned: makeCertificate({ names: ["mx.example"], ...always, issuer: null, authority: false }),
};

/** Its own authority, with `mx.example` as the common name and no alternative names; made by `openssl req -x509`. */
export const commonNameOnly: Certified = {
  certificate: `-----BEGIN CERTIFICATE-----
MIIBgTCCASegAwIBAgIUHqSFix2MX4cg+Txgp+WCwRJqe9QwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKbXguZXhhbXBsZTAgFw0yNjExMjUxOTI4MjdaGA8yMTI2MTEw
MTE5MjgyN1owFTETMBEGA1UEAwwKbXguZXhhbXBsZTBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABJl8a14VuK4Nu0Yghqqmj/rJcuhcX4ys+D4rW0Q+EAAVeH+Leypw
6e2GI9PR6ZDVjwdZccRj16BfKnRbVR9deDSjUzBRMB0GA1UdDgQWBBTP8WCKfAYO
yhQC7cPQ/Spa9tFfbDAfBgNVHSMEGDAWgBTP8WCKfAYOyhQC7cPQ/Spa9tFfbDAP
BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQDxq/o+9DeDkkL7s1ck
chJudJ7fbPC6hUfmtzdT05CL0QIgebCEPUpZCTZIMZSncHMn+HYcTS6Z5UMIWInW
II5wFfw=
-----END CERTIFICATE-----
`,
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgPvb8oapow3tuteq5
k+RVGKwnRC9LeN1+4/I/vwDcy2ahRANCAASZfGteFbiuDbtGIIaqpo/6yXLoXF+M
rPg+K1tEPhAAFXh/i3sqcOnthiPT0emQ1Y8HWXHEY9egXyp0W1UfXXg0
-----END PRIVATE KEY-----
`,
};

/** STARTTLS as it should be, with a certificate that the tests' authority signed. */
export function tlsOf(certified: Certified = certificates.good, more: Partial<SinkTls> = {}): SinkTls {
  const { certificate, key } = certified;
  return { mode: "offered", certificate, key, maxVersion: null, fault: "none", ...more };
}

/** A sink that keeps what it gets. */
export class TlsSink {
  readonly got: [SinkEnvelope, Buffer][] = [];
  readonly sink: RunningSink;

  private constructor(sink: RunningSink, got: [SinkEnvelope, Buffer][]) {
    this.sink = sink;
    this.got = got;
  }

  static async start(tls: SinkTls | null, auth: SinkAuth | null = null, port = 0): Promise<TlsSink> {
    const got: [SinkEnvelope, Buffer][] = [];
    const profile = { ...DEFAULT_PROFILE, hostname: "mx.example", tls, auth };
    const onMessage = (envelope: SinkEnvelope, content: Buffer) => got.push([envelope, content]);
    return new TlsSink(await startSink({ host: "127.0.0.1", port, profile, onMessage }), got);
  }
}

/** What one message came to. */
export interface Delivered {
  readonly fate: Fate;
  readonly facts: TlsFacts | null;
  /** What is told to those who want reports. */
  readonly notes: readonly TlsOutcome[];
}

/** The text of an outcome, for patterns. */
export function textOf({ fate }: Delivered): string {
  return "response" in fate ? `${fate.kind} ${fate.response.code} ${fate.response.content}` : fate.kind;
}

/** Sends over real sockets, from sessions that share a desk; close it at the end. */
export class LiveWorld {
  readonly clock = new SystemClock();
  readonly reactor = loadNative().createReactor({ arenaBytes: 65_536, onTurn: () => this.turns++ });
  readonly counters = new Float64Array(COUNTER_COUNT);
  readonly desk = new TlsDesk({
    clock: this.clock,
    counters: this.counters,
    requestTurn: () => this.reactor.requestTurn(),
  });
  turns = 0;
  #sessions = 0;
  readonly #open = new Set<EgressSession>();
  readonly #timer = setInterval(() => {
    for (const session of this.#open) session.sweep(this.clock.monoMs());
  }, 20);

  close(): void {
    clearInterval(this.#timer);
    for (const session of this.#open) session.abort();
    this.reactor.close();
  }

  /** Opens a session to the sinks in turn, and sends these contents over it; gives their outcomes when all have one. */
  send(
    ports: readonly number[],
    config: Partial<PathConfig>,
    options: {
      contents?: readonly Buffer[];
      sts?: StsState;
      dane?: DaneState;
      name?: string;
      proxy?: ProxyConfig;
    } = {},
  ): Promise<readonly Delivered[]> {
    const { contents = [Buffer.from("Subject: x\r\n\r\nText\r\n")], sts = "none", name = "mx.example" } = options;
    const definition = {
      id: 1 as PathId,
      name: "p",
      site: "mx.example",
      source: {
        name: "s",
        address: null,
        freeBind: false,
        ehloDomain: null,
        remotePort: null,
        proxy: options.proxy ?? null,
      },
      pool: "pool",
      hosts: [],
      explicit: true,
      sts,
      secure: false,
      config: { ...PATH_DEFAULTS, tlsTrustedCertificates: authority.certificate, ...config },
    };
    const targets = ports.map((port) => ({
      name,
      address: "127.0.0.1",
      port,
      unix: null,
      dane: options.dane ?? ({ kind: "none" } as const),
    }));
    const path = new EgressPath(definition, "host.example", this.clock);
    return new Promise((resolve) => {
      const outcomes: Delivered[] = [];
      let loaded = 0;
      const note = (session: EgressSession, fate: Fate): void => {
        outcomes.push({ fate, facts: session.line.tls, notes: session.tlsNotes.take("b.example") });
        if (outcomes.length === contents.length) {
          session.quit();
          resolve(outcomes);
        }
      };
      const session = new EgressSession(++this.#sessions as SessionId, path, "log", {
        connect: (_, handler, how) => {
          if (options.proxy === undefined) return this.reactor.connect(how, handler);
          const parts = { reactor: this.reactor, resolve: () => assert.fail("the proxy has an address") };
          return connectThrough(parts, options.proxy, how, 5000, handler);
        },
        security: (one, target, clear) => this.desk.security(one.path, target, clear, (act) => act()),
        plan: (_, done) => done({ kind: "plan", targets }),
        load: (_, batch) => {
          const one = message({ content: contents[loaded++] ?? Buffer.alloc(0) });
          for (const assigned of batch) assigned.loaded = spooled(assigned.key, one);
          return one;
        },
        mayChunk: () => false,
        chunked() {},
        failedOnce() {},
        up() {},
        settled: (one, _assigned, fate) => note(one, fate),
        ended: (one) => this.#open.delete(one),
      });
      this.#open.add(session);
      session.start();
      for (let row = 1; row <= contents.length; row++) {
        const key = row as SpoolKey;
        session.give({ row: row as Row, shard: 0 as ShardIndex, key, attempts: 0, more: false, loaded: null });
      }
    });
  }
}
