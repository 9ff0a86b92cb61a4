/**
 * One delivery session: a plan of addresses, a connection to one of them, the client machine on it, and the messages that
 * the scheduler gave it.
 *
 * Runs on   a worker
 * Owns      its connection and the messages in its hand (the first of them is under way)
 * When full the scheduler gives one message at a time; more simply wait their turn here
 * On failure the next address of the plan; when none is left the message in hand fails for now, the others go back
 *
 *     planning ─▶ connecting ⇄ greeting ─▶ serving ─▶ closing ─▶ over
 *
 * It moves bytes and asks; what an outcome means is said by `verdict.ts`, what is written down by `egress.ts`.
 */
import { assert, unreachable } from "../../base/assert.js";
import type { Row, SessionId, ShardIndex, SpoolKey } from "../../base/brands.js";
import type { Fault } from "../../base/fault.js";
import type { Connection, ConnectionHandler, ConnectOptions } from "../../native/binding.js";
import type { OutgoingMessage } from "../../smtp/client-envelope.js";
import type { ClientHost } from "../../smtp/client-host.js";
import { ClientMachine } from "../../smtp/client-machine.js";
import type { SessionEnd, StepResult, TransactionResult } from "../../smtp/client-result.js";
import type { SpooledMessage } from "../spool/envelope.js";
import type { EgressPath } from "./path.js";
import type { Plan, PlanTarget } from "./plan.js";
import { type Fate, type HostFailure, judge, judgePlan, judgeUnreachable, type SessionStep } from "./verdict.js";
import { WriteWait } from "./write-wait.js";

/** A message that the scheduler gave to a session. */
export interface Assigned {
  readonly row: Row;
  readonly shard: ShardIndex;
  readonly key: SpoolKey;
  readonly attempts: number;
}

/** What a session asks of its worker. */
export interface SessionHost {
  /** Connects; the session is told what happens. */
  connect(session: EgressSession, options: ConnectOptions): Connection;
  /** Finds the addresses of the path's hosts; `answer` is called exactly once, perhaps at once. */
  plan(session: EgressSession, answer: (plan: Plan) => void): void;
  /**
   * Loads a message for sending: `gone` when it cannot be read, which the host has then settled; `later` when it cannot be
   * seen yet, and the host will call `loadAgain`.
   */
  load(session: EgressSession, assigned: Assigned): OutgoingMessage | "gone" | "later";
  /** The session is greeted. */
  up(session: EgressSession): void;
  /** A message has an outcome. `last` tells that the session ends with it and reports nothing more. */
  settled(session: EgressSession, assigned: Assigned, fate: Fate, end: SettledEnd): void;
  /** The session is over, with no message in hand. */
  ended(session: EgressSession): void;
}

/** Whether a settled message was the session's last act. */
export type SettledEnd =
  | "goes-on"
  | "ended"
  /** Ended, and no address could be connected to. */
  | "unreachable";

type Phase = "planning" | "connecting" | "greeting" | "serving" | "closing" | "over";

/** See the file's header. */
export class EgressSession implements ConnectionHandler, ClientHost {
  readonly id: SessionId;
  readonly path: EgressPath;
  /** Names the session in log records. */
  readonly logId: string;
  /** The address that the session is connected to, or tries. */
  target: PlanTarget | null = null;
  /** The message under way as it was read: kept by the host for its record. */
  loaded: SpooledMessage | null = null;
  /** The session was greeted at least once. */
  wasUp = false;
  readonly #host: SessionHost;
  readonly #hand: Assigned[] = [];
  #phase: Phase = "planning";
  #targets: readonly PlanTarget[] = [];
  #next = 0;
  #failures: HostFailure[] = [];
  #connection: Connection | null = null;
  #machine: ClientMachine | null = null;
  #message: OutgoingMessage | null = null;
  #quitting = false;
  /** How to serve on when the connection that is ending is gone; null when the session ends with it. */
  #again: SessionStep | null = null;
  /** The session cannot be: what its first message will be told. */
  #early: Fate | null = null;
  #progressSeen = 0;
  readonly #writing = new WriteWait();
  #deadlineMs = Number.POSITIVE_INFINITY;

  constructor(id: SessionId, path: EgressPath, logId: string, host: SessionHost) {
    this.id = id;
    this.path = path;
    this.logId = logId;
    this.#host = host;
  }

  /** Our address on the connection, null before there was one. */
  localAddress: string | null = null;

  /** Everything written has been taken by the kernel, on a connection that is still open. */
  get outputGone(): boolean {
    return this.#connection !== null && this.#connection.pendingBytes === 0;
  }

  /** The message under way, or the next one. */
  get inHand(): Assigned | undefined {
    return this.#hand[0];
  }

  /** Begins: finds addresses and connects. */
  start(): void {
    this.#host.plan(this, (plan) => this.#onPlan(plan));
  }

  /** Takes a message to send. False when the session is ending: the message was not taken. */
  give(assigned: Assigned): boolean {
    if (this.#quitting || this.#phase === "over") return false;
    this.#hand.push(assigned);
    if (this.#early !== null) this.#giveUp(this.#early);
    else if (this.#phase === "serving" && this.#hand.length === 1) this.#sendNext();
    return true;
  }

  /** Ends politely: after the message under way; messages not begun go back. */
  quit(): void {
    if (this.#phase === "serving") {
      if (this.#hand.length === 0) this.#phase = "closing";
      this.#quitting = true;
      this.#machine?.quit();
    } else if (this.#phase !== "closing" && this.#phase !== "over") {
      this.#over();
    }
  }

  /** Breaks off at once: everything in hand goes back. */
  abort(): void {
    if (this.#phase !== "over") this.#over();
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
    else if (this.#phase === "connecting") {
      const afterMs = this.path.config.connectTimeoutMs;
      this.#targetFailed({ stage: "connect", answer: { kind: "timeout", afterMs }, command: null });
    }
  }

  #onPlan(plan: Plan): void {
    if (this.#phase !== "planning") return;
    if (plan.kind === "plan") {
      this.#targets = plan.targets;
      this.#connectNext();
      return;
    }
    const detail = plan.kind === "prohibited" ? plan.address : "";
    const verdict = judgePlan(plan.kind, this.path.site, detail);
    this.#giveUp({ kind: verdict.kind, response: verdict.response, reason: verdict.reason });
  }

  #connectNext(): void {
    const target = this.#targets[this.#next];
    if (target === undefined) {
      this.#giveUp({ kind: "transient", response: judgeUnreachable(this.#failures) });
      return;
    }
    this.#next++;
    this.target = target;
    this.#phase = "connecting";
    this.#machine = null;
    this.#deadlineMs = this.path.nowMs() + this.path.config.connectTimeoutMs;
    this.#connection = this.#host.connect(this, this.path.connectOptions(target));
  }

  /** No address is left, or there never was one: the message in hand has its fate, the others were not tried. */
  #giveUp(fate: Fate): void {
    if (this.wasUp) {
      // It has served: that no other address could be reached is not held against the next message.
      this.#over();
      return;
    }
    const first = this.#hand.shift();
    if (first === undefined) {
      // Fixed addresses are judged at once, before the message that the session was opened for has come.
      this.#early = fate;
      return;
    }
    this.#phase = "over";
    this.#dropConnection();
    for (const assigned of this.#hand.splice(0)) {
      this.#host.settled(this, assigned, { kind: "returned" }, "goes-on");
    }
    this.#host.settled(this, first, fate, "unreachable");
  }

  /** The present address cannot be used. */
  #targetFailed(failure: StepResult): void {
    const target = this.target;
    assert(target !== null, "an address failed that was not tried");
    this.#failures.push({ name: target.name, address: target.address, failure });
    this.#dropConnection();
    this.#connectNext();
  }

  #dropConnection(): void {
    const connection = this.#connection;
    this.#connection = null;
    this.#machine = null;
    connection?.destroy();
  }

  // ── the connection ───────────────────────────────────────────────────────────────────────────────────────────────

  onConnect(): void {
    this.#phase = "greeting";
    this.localAddress = this.#connection?.localAddress || null;
    this.#machine = new ClientMachine({ ehloDomain: this.path.ehloDomain, path: this.path.config }, this);
    this.#progressSeen = 0;
    this.#deadlineMs = this.path.nowMs() + this.#machine.deadlineMs;
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
    if (this.#phase === "over" || this.#connection === null) return;
    const detail = fault === null ? null : (fault.errno ?? fault.message);
    if (this.#phase === "connecting") {
      this.#targetFailed({
        stage: "connect",
        answer: detail === null ? { kind: "closed" } : { kind: "transport", detail },
        command: null,
      });
    } else if (detail === null) {
      this.#machine?.peerEnded();
    } else {
      this.#machine?.transportFailed(detail);
    }
  }

  // ── the machine ──────────────────────────────────────────────────────────────────────────────────────────────────

  write(text: string): void {
    this.#connection?.writeText(text);
  }

  writeBytes(bytes: Uint8Array): void {
    this.#connection?.writeBytes(bytes);
  }

  onReady(): void {
    this.#phase = "serving";
    this.#failures = [];
    if (!this.wasUp) {
      this.wasUp = true;
      this.#host.up(this);
    }
    this.#sendNext();
  }

  onFailed(failure: StepResult): void {
    this.#endConnection();
    this.#targetFailed(failure);
  }

  onResult(result: TransactionResult): void {
    const assigned = this.#hand[0];
    assert(assigned !== undefined, "a result came for no message");
    const verdict = judge(result, this.path.config, false);
    const fate = verdict.fates[0];
    assert(fate !== undefined, "a message has one recipient");
    if ((fate.kind === "next-host" || fate.kind === "again") && this.#hasOtherTarget(fate.kind)) {
      this.#message = null;
      return; // Stays in hand: onClosing connects again, or the next send follows.
    }
    this.#hand.shift();
    this.#message = null;
    const settled: Fate = fate.kind === "next-host" || fate.kind === "again" ? { ...fate, kind: "transient" } : fate;
    const goesOn = result.end === null;
    this.#again = !this.#quitting && this.#canConnectAgain(verdict.session) ? verdict.session : null;
    const last = !goesOn && result.end !== "quit" && this.#hand.length === 0 && this.#again === null;
    if (last) this.#phase = "over";
    else if (result.end === "quit") this.#phase = "closing";
    this.#host.settled(this, assigned, settled, last ? "ended" : "goes-on");
    if (goesOn && this.#hand.length > 0) this.#sendNext();
  }

  /** Whether the session may serve on over a new connection (`reconnect_strategy`). */
  #canConnectAgain(step: SessionStep): boolean {
    return step === "same-host" || (step === "next-host" && this.#next < this.#targets.length);
  }

  /** Whether the message in hand can be tried at once once more; only then it is not settled. */
  #hasOtherTarget(kind: "next-host" | "again"): boolean {
    return kind === "next-host" && this.#next < this.#targets.length;
  }

  onClosing(_end: SessionEnd): void {
    const wasOver = this.#phase === "over";
    this.#endConnection();
    if (wasOver) return;
    const again = this.#again;
    this.#again = null;
    const waiting = this.#hand.length > 0 && this.#next < this.#targets.length;
    if (this.#quitting || (again === null && !waiting)) {
      this.#over();
      return;
    }
    if (again === "same-host") this.#next--;
    this.#connectNext();
  }

  #endConnection(): void {
    const connection = this.#connection;
    this.#connection = null;
    this.#machine = null;
    connection?.end();
  }

  /** Everything still in hand goes back untried, and the session is over. */
  #over(): void {
    this.#phase = "over";
    this.#dropConnection();
    for (const assigned of this.#hand.splice(0)) {
      this.#host.settled(this, assigned, { kind: "returned" }, "goes-on");
    }
    this.#host.ended(this);
  }

  #sendNext(): void {
    while (!this.#quitting && this.#phase === "serving" && this.#message === null) {
      const assigned = this.#hand[0];
      if (assigned === undefined) return;
      const message = this.#host.load(this, assigned);
      if (message === "later") return;
      if (message === "gone") {
        this.#hand.shift();
        continue;
      }
      this.#message = message;
      assert(this.#machine !== null, "a serving session has a machine");
      this.#machine.send(message);
      return;
    }
  }

  /** The message in hand may be there to read now. */
  loadAgain(): void {
    this.#sendNext();
  }

  /** For tests and inspection. */
  get phase(): Phase {
    return this.#phase;
  }

  /** What the session waits for, for the live view. */
  describe(): string {
    switch (this.#phase) {
      case "serving":
        return this.#machine?.phase ?? "serving";
      case "planning":
      case "connecting":
      case "greeting":
      case "closing":
      case "over":
        return this.#phase;
      default:
        return unreachable(this.#phase);
    }
  }
}
