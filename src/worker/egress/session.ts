/**
 * One delivery session: the messages that the scheduler gave it, the addresses of its plan (`targets.ts`), and the line to one
 * of them with the client machine on it (`line.ts`).
 *
 * Runs on   a worker
 * Owns      its phase and the messages in its hand (the first of them is under way)
 * When full the scheduler gives one message at a time; more simply wait their turn here
 * On failure the next address of the plan; when none is left the message in hand fails for now, the others go back
 *
 *     planning ─▶ connecting ⇄ greeting ─▶ serving ─▶ closing ─▶ over
 *
 * It asks and orders; what an outcome means is said by `verdict.ts`, what is written down by `egress.ts`.
 */
import { assert, unreachable } from "../../base/assert.js";
import type { SessionId } from "../../base/brands.js";
import type { Fault } from "../../base/fault.js";
import type { OutgoingMessage } from "../../smtp/client-envelope.js";
import type { SessionEnd, StepResult, TransactionResult } from "../../smtp/client-result.js";
import type { SpooledMessage } from "../spool/envelope.js";
import { Line, type LineHost } from "./line.js";
import type { EgressPath } from "./path.js";
import type { Plan } from "./plan.js";
import type { Assigned, SessionHost } from "./session-host.js";
import { Targets } from "./targets.js";
import { SessionNotes } from "./tls/session-notes.js";
import { type Fate, judge, judgePlan, type SessionStep } from "./verdict.js";

type Phase = "planning" | "connecting" | "greeting" | "serving" | "closing" | "over";

/** See the file's header. */
export class EgressSession implements LineHost {
  readonly id: SessionId;
  readonly path: EgressPath;
  /** Names the session in log records. */
  readonly logId: string;
  /** Where it may connect to, and the address that it is connected to, or tries. */
  readonly targets = new Targets();
  /** The connection that it has, or makes; before the first an idle one. */
  line: Line;
  /** How TLS went, for the reports that domains ask for. */
  readonly tlsNotes = new SessionNotes();
  /** The message under way as it was read: kept by the host for its record. */
  loaded: SpooledMessage | null = null;
  /** The session was greeted at least once. */
  wasUp = false;
  readonly #host: SessionHost;
  readonly #hand: Assigned[] = [];
  #phase: Phase = "planning";
  #message: OutgoingMessage | null = null;
  #quitting = false;
  /** The address to be tried next has just failed at TLS, and is tried again without. */
  #clear = false;
  /** How to serve on when the connection that is ending is gone; null when the session ends with it. */
  #again: SessionStep | null = null;
  /** The session cannot be: what its first message will be told. */
  #early: Fate | null = null;

  constructor(id: SessionId, path: EgressPath, logId: string, host: SessionHost) {
    this.id = id;
    this.path = path;
    this.logId = logId;
    this.#host = host;
    this.line = new Line(path, this, null);
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
      this.line.machine?.quit();
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
    this.line.sweep(nowMs);
  }

  #onPlan(plan: Plan): void {
    if (this.#phase !== "planning") return;
    if (plan.kind === "plan") {
      this.targets.begin(plan.targets);
      this.#connectNext();
      return;
    }
    const detail = plan.kind === "prohibited" ? plan.address : "";
    const verdict = judgePlan(plan.kind, this.path.site, detail);
    this.#giveUp({ kind: verdict.kind, response: verdict.response, reason: verdict.reason });
  }

  #connectNext(): void {
    const target = this.targets.advance();
    if (target === null) {
      this.#giveUp({ kind: "transient", response: this.targets.exhausted });
      return;
    }
    const security = this.#host.security(this, target, this.#clear);
    this.#clear = false;
    const failure = security.unusable;
    if (failure !== null) {
      this.tlsNotes.failed(security, failure, null);
      this.onUnconnected(failure);
      return;
    }
    this.#phase = "connecting";
    this.line = new Line(this.path, this, security);
    this.line.hold(this.#host.connect(this, this.line, this.path.connectOptions(target)));
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
    this.line.drop();
    for (const assigned of this.#hand.splice(0)) {
      this.#host.settled(this, assigned, { kind: "returned" }, "goes-on");
    }
    this.#host.settled(this, first, fate, "unreachable");
  }

  // ── the line ─────────────────────────────────────────────────────────────────────────────────────────────────────

  onGreeting(): void {
    this.#phase = "greeting";
  }

  /** The present address cannot be used. */
  onUnconnected(failure: StepResult, fault: Fault | null = null): void {
    this.targets.failed(failure, fault, this.path);
    this.line.drop();
    this.#connectNext();
  }

  // ── the machine ──────────────────────────────────────────────────────────────────────────────────────────────────

  write(text: string): void {
    this.line.write(text);
  }

  writeBytes(bytes: Uint8Array): void {
    this.line.writeBytes(bytes);
  }

  onStartTls(): void {
    this.line.startTls();
  }

  onReady(): void {
    const { security, tls, localAddress } = this.line;
    if (security !== null) this.tlsNotes.reached(security, tls, localAddress);
    this.#phase = "serving";
    this.targets.reached();
    if (!this.wasUp) {
      this.wasUp = true;
      this.#host.up(this);
    }
    this.#sendNext();
  }

  onFailed(failure: StepResult): void {
    const { security, localAddress } = this.line;
    if (security !== null) this.tlsNotes.failed(security, failure, localAddress);
    this.#clear = this.line.failed(failure);
    this.line.end();
    if (this.#clear) this.targets.stepBack();
    this.onUnconnected(failure);
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
    return step === "same-host" || (step === "next-host" && this.targets.hasNext);
  }

  /** Whether the message in hand can be tried at once once more; only then it is not settled. */
  #hasOtherTarget(kind: "next-host" | "again"): boolean {
    return kind === "next-host" && this.targets.hasNext;
  }

  onClosing(_end: SessionEnd): void {
    const wasOver = this.#phase === "over";
    this.line.end();
    if (wasOver) return;
    const again = this.#again;
    this.#again = null;
    const waiting = this.#hand.length > 0 && this.targets.hasNext;
    if (this.#quitting || (again === null && !waiting)) {
      this.#over();
      return;
    }
    if (again === "same-host") this.targets.stepBack();
    this.#connectNext();
  }

  /** Everything still in hand goes back untried, and the session is over. */
  #over(): void {
    this.#phase = "over";
    this.line.drop();
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
      const { machine } = this.line;
      assert(machine !== null, "a serving session has a machine");
      machine.send(message);
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
        return this.line.machine?.phase ?? "serving";
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
