import { FailureClass } from "../../src/protocol/layout/frames.js";
import type { OutgoingMessage } from "../../src/smtp/client-envelope.js";
import type { ClientHost, ClientPath } from "../../src/smtp/client-host.js";
import { ClientMachine } from "../../src/smtp/client-machine.js";
import { NO_DEMAND, type OpeningDemand } from "../../src/smtp/client-opening.js";
import type { SessionEnd, StepResult, TransactionResult } from "../../src/smtp/client-result.js";
import { judge, judgeUnreachable, type VerdictPath } from "../../src/worker/egress/verdict.js";

/** The path settings of a test, with the defaults of the configuration. */
export type TestPath = ClientPath & VerdictPath;

export const DEFAULT_PATH: TestPath = {
  enablePipelining: true,
  enableRset: true,
  maxBdatSize: 65_536,
  ignore8bitChecks: false,
  useLmtp: false,
  bannerTimeoutMs: 60_000,
  ehloTimeoutMs: 300_000,
  starttlsTimeoutMs: 6_000,
  authTimeoutMs: 61_000,
  mailFromTimeoutMs: 301_000,
  rcptToTimeoutMs: 302_000,
  dataTimeoutMs: 303_000,
  dataDotTimeoutMs: 304_000,
  rsetTimeoutMs: 5_000,
  reconnectStrategy: "ConnectNextHost",
  tryNextHostOnTransportError: false,
};

/** Makes a message; what is not given is plain. */
export function message(parts: Partial<OutgoingMessage> = {}): OutgoingMessage {
  return {
    sender: "from@a.example",
    recipients: ["to@b.example"],
    content: Buffer.from("Subject: x\r\n\r\nhello\r\n"),
    hasDotLines: false,
    hasBareLineEnds: false,
    has8bit: false,
    needsUtf8: false,
    ...parts,
  };
}

/** A machine whose owner notes everything: what goes to the peer, and what is reported. */
export class Recorder implements ClientHost {
  readonly machine: ClientMachine;
  /** Bytes for the peer that nobody has taken yet. */
  readonly #out: Buffer[] = [];
  /** What was reported, as one line each, with the judge's verdicts. */
  readonly events: string[] = [];
  readonly results: TransactionResult[] = [];
  /** Writes so far; to see what leaves together. */
  writes = 0;
  ended = 0;
  failure: StepResult | null = null;
  readonly #path: TestPath;

  constructor(path: Partial<TestPath> = {}, demand: Partial<OpeningDemand> = {}) {
    this.#path = { ...DEFAULT_PATH, ...path };
    this.machine = new ClientMachine(
      { ehloDomain: "client.example", path: this.#path, demand: { ...NO_DEMAND, ...demand } },
      this,
    );
  }

  /** Takes what was written since the last call. */
  take(): Buffer {
    return Buffer.concat(this.#out.splice(0));
  }

  write(text: string): void {
    // As the transport does: one byte per character.
    this.writeBytes(Buffer.from(text, "latin1"));
  }

  writeBytes(bytes: Uint8Array): void {
    this.writes++;
    this.#out.push(Buffer.from(bytes));
  }

  onStartTls(): void {
    this.events.push("starttls");
  }

  onReady(): void {
    this.events.push("ready");
  }

  onFailed(failure: StepResult): void {
    this.ended++;
    this.failure = failure;
    const text = judgeUnreachable([
      { name: "mx", address: null, cause: FailureClass.other, via: null, failure },
    ]).content;
    this.events.push(`failed ${failure.stage} ${text.slice(text.indexOf("mx: ") + 4)}`);
  }

  onResult(result: TransactionResult): void {
    this.results.push(result);
    const verdict = judge(result, this.#path, false);
    for (const fate of verdict.fates) {
      if (fate.kind === "returned") {
        this.events.push("returned");
        continue;
      }
      const { code, enhanced, command, content } = fate.response;
      this.events.push(
        `${fate.kind} ${code} ${enhanced === null ? "-" : enhanced.join(".")} [${command ?? ""}] ${content}`,
      );
    }
    if (verdict.session !== "keep") this.events.push(`session ${verdict.session}`);
  }

  onClosing(end: SessionEnd): void {
    this.ended++;
    this.events.push(`closing ${end}`);
  }
}

/** Feeds bytes in chunks of the given lengths in turn; each chunk is spoilt afterwards. */
export function feedCut(machine: ClientMachine, bytes: Buffer, lengths: readonly number[]): void {
  let from = 0;
  for (let i = 0; from < bytes.length; i++) {
    const to = lengths.length === 0 ? bytes.length : Math.min(bytes.length, from + (lengths[i % lengths.length] ?? 1));
    const chunk = Buffer.concat([Buffer.from("##"), bytes.subarray(from, to), Buffer.from("250 stale\r\n")]);
    machine.feed(chunk, 2, 2 + to - from);
    chunk.fill(0x23);
    from = to;
  }
}
