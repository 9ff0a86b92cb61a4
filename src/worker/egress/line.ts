/**
 * What a session holds of its peer: a connection, the client machine on it, and how long the present wait may last.
 *
 * Runs on   a worker, one per connection: the close of one that was given up comes later, and must not meet its successor
 * Owns      the connection and its machine; closing the one forgets the other
 * When full what was written waits in the connection; a peer that takes nothing of it times out
 * On failure before it is connected `onUnconnected`, afterwards whatever the machine makes of it
 *
 *     connect ─▶ onConnect: machine, banner awaited ─▶ bytes both ways ─▶ end (what is queued leaves) or drop (at once)
 */
import type { Fault } from "../../base/fault.js";
import type { Connection, ConnectionHandler } from "../../native/binding.js";
import type { ClientHost } from "../../smtp/client-host.js";
import { ClientMachine } from "../../smtp/client-machine.js";
import { NO_DEMAND } from "../../smtp/client-opening.js";
import type { Answer, StepResult } from "../../smtp/client-result.js";
import type { EgressPath } from "./path.js";
import type { LineSecurity } from "./tls/desk.js";
import type { TlsFacts } from "./tls/handshake.js";
import { WriteWait } from "./write-wait.js";

/** Who has a line: the host of its machines, and told what comes before a machine is there. */
export interface LineHost extends ClientHost {
  /** The connection stands; the peer's banner is awaited. */
  onGreeting(): void;
  /** There is no connection: it failed, with a fault if there is one, or took too long. */
  onUnconnected(failure: StepResult, fault: Fault | null): void;
}

/** See the file's header. */
export class Line implements ConnectionHandler {
  readonly #path: EgressPath;
  readonly #host: LineHost;
  readonly #security: LineSecurity | null;
  #tls: TlsFacts | null = null;
  #connection: Connection | null = null;
  #machine: ClientMachine | null = null;
  #localAddress: string | null = null;
  #progressSeen = 0;
  readonly #writing = new WriteWait();
  #deadlineMs: number;

  /** The time of a connection begins to run: `hold` follows. `security` is null for a line that is never used. */
  constructor(path: EgressPath, host: LineHost, security: LineSecurity | null) {
    this.#path = path;
    this.#host = host;
    this.#security = security;
    this.#deadlineMs = path.nowMs() + path.connectPatienceMs;
  }

  /** The machine on the connection; null while there is none, or it is not connected yet. */
  get machine(): ClientMachine | null {
    return this.#machine;
  }

  /** Our address on the connection; null before it stands. */
  get localAddress(): string | null {
    return this.#localAddress;
  }

  /** What is known of TLS on the connection; null in clear. */
  get tls(): TlsFacts | null {
    return this.#tls;
  }

  /** Everything written has been taken by the kernel, on a connection that is still open. */
  get outputGone(): boolean {
    return this.#connection !== null && this.#connection.pendingBytes === 0;
  }

  /** The connection that is being made. */
  hold(connection: Connection): void {
    this.#connection = connection;
  }

  /** The peer awaits the TLS handshake. */
  startTls(): void {
    const plain = this.#connection;
    const machine = this.#machine;
    if (plain === null || machine === null || this.#security === null) return;
    const secure = this.#security.begin(plain, (result) => {
      if (this.#machine !== machine) return;
      if (result.kind === "failed") {
        machine.handshakeFailed({ kind: "tls", ...result.failure });
      } else if (result.kind === "not-begun") {
        machine.handshakeFailed(result.answer);
      } else {
        this.#tls = result.facts;
        machine.secured(result.facts.lacks?.reason ?? null);
      }
    });
    if (this.#machine === machine) this.#connection = secure;
  }

  /** What was demanded of the address; null for a line that is never used. */
  get security(): LineSecurity | null {
    return this.#security;
  }

  /** The address could not be used. Says whether it is to be tried again at once, in clear. */
  failed(failure: StepResult): boolean {
    return this.#security?.failed(failure, this.#tls !== null) ?? false;
  }

  /** Looks whether a wait has lasted too long. Called a few times a second. */
  sweep(nowMs: number): void {
    const machine = this.#machine;
    const unsent = this.#connection?.pendingBytes ?? 0;
    const stuckMs = machine === null ? null : this.#writing.exceeded(unsent, nowMs, machine.deadlineMs);
    if (stuckMs !== null) {
      machine?.timedOut(stuckMs);
      return;
    }
    if (machine !== null && machine.progress !== this.#progressSeen) {
      this.#progressSeen = machine.progress;
      this.#deadlineMs = nowMs + machine.deadlineMs;
      return;
    }
    if (nowMs < this.#deadlineMs) return;
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    if (machine !== null) machine.timedOut();
    else if (this.#connection !== null) {
      this.#unconnected({ kind: "timeout", afterMs: this.#path.config.connectTimeoutMs }, null);
    }
  }

  /** Closes at once. */
  drop(): void {
    const connection = this.#connection;
    this.#forget();
    connection?.destroy();
  }

  /** Closes when what is queued has left. */
  end(): void {
    const connection = this.#connection;
    this.#forget();
    connection?.end();
  }

  #forget(): void {
    this.#connection = null;
    this.#machine = null;
  }

  #unconnected(answer: Answer, fault: Fault | null): void {
    this.#host.onUnconnected({ stage: "connect", answer, command: null }, fault);
  }

  // ── what the machine writes ──────────────────────────────────────────────────────────────────────────────────────

  write(text: string): void {
    this.#connection?.writeText(text);
  }

  writeBytes(bytes: Uint8Array): void {
    this.#connection?.writeBytes(bytes);
  }

  // ── the connection ───────────────────────────────────────────────────────────────────────────────────────────────

  onConnect(): void {
    if (this.#connection === null) return;
    const path = this.#path;
    this.#localAddress = this.#connection.localAddress || null;
    const demand = this.#security?.opening ?? NO_DEMAND;
    this.#machine = new ClientMachine({ ehloDomain: path.ehloDomain, path: path.config, demand }, this.#host);
    this.#progressSeen = 0;
    this.#deadlineMs = path.nowMs() + this.#machine.deadlineMs;
    this.#host.onGreeting();
  }

  onData(buffer: Buffer, start: number, end: number): void {
    this.#machine?.feed(buffer, start, end);
  }

  onEnd(): void {
    this.#machine?.peerEnded();
  }

  onDrain(): void {
    this.#machine?.drained();
  }

  onClose(fault: Fault | null): void {
    if (this.#connection === null) return;
    const detail = fault === null ? null : (fault.errno ?? fault.message);
    if (this.#machine === null) {
      this.#unconnected(detail === null ? { kind: "closed" } : { kind: "transport", detail }, fault);
    } else if (detail === null) {
      this.#machine.peerEnded();
    } else {
      this.#machine.transportFailed(detail);
    }
  }
}
