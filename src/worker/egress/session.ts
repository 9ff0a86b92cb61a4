/**
 * One delivery session: the messages that the scheduler gave it, the addresses of its plan (`targets.ts`), and the line to one
 * of them with the client machine on it (`line.ts`).
 *
 * Runs on   a worker
 * Owns      its phase and the messages in its hand (recipients of the first transaction are under way)
 * When full the scheduler gives one transaction at a time; more simply wait their turn here
 * On failure the next address of the plan; when none is left the transaction in hand fails for now, the others go back
 *
 *     planning ─▶ connecting ⇄ greeting ─▶ serving ─▶ closing ─▶ over
 *
 * It asks and orders; what an outcome means is said by `verdict.ts`, what is written down by `egress.ts`.
 */
import { assert, unreachable } from "../../base/assert.js";
import type { SessionId } from "../../base/brands.js";
import type { Fault } from "../../base/fault.js";
import type { SessionEnd, StepResult, TransactionResult } from "../../smtp/client-result.js";
import { type Assigned, InHand } from "./in-hand.js";
import { Line, type LineHost } from "./line.js";
import type { EgressPath } from "./path.js";
import type { Plan } from "./plan.js";
import { Pulse } from "./pulse.js";
import type { SessionHost } from "./session-host.js";
import { Targets } from "./targets.js";
import { SessionNotes } from "./tls/session-notes.js";
import { type Fate, judge, judgePlan, judgeStuck, type SessionStep } from "./verdict.js";

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
  /** The session was greeted at least once. */
  wasUp = false;
  readonly #host: SessionHost;
  readonly #hand = new InHand();
  #phase: Phase = "planning";
  /** The machine has the transaction. */
  #underWay = false;
  /** Recipients of the batch were too many for a transaction before, or were taken to be. */
  #crowded = false;
  /** The last message went by BDAT, and nothing has spoken against it so far. */
  #chunkTried = false;
  /** Since when it has been where it is. */
  readonly pulse: Pulse;
  /** Transactions begun, and recipients for whom the peer has taken a message. */
  transactions = 0;
  delivered = 0;
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
    this.pulse = new Pulse(this.line, this.#phase, path.nowMs());
  }

  /** The message under way, or the next one. */
  get inHand(): Assigned | undefined {
    return this.#hand.first;
  }

  /** Messages in hand. */
  get messages(): number {
    return this.#hand.length;
  }

  /** Begins: finds addresses and connects. */
  start(): void {
    this.#host.plan(this, (plan) => this.#onPlan(plan));
  }

  /** Takes a message to send. False when the session is ending: the message was not taken. */
  give(assigned: Assigned): boolean {
    if (this.#quitting || this.#phase === "over") return false;
    this.#hand.add(assigned);
    if (this.#early !== null) this.#giveUp(this.#early);
    else if (this.#phase === "serving") this.#sendNext();
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
    if (this.#phase === "over") return;
    const stillMs = this.look(nowMs);
    if (stillMs > 0 && stillMs >= this.path.watchdogMs) this.#stuck(stillMs);
  }

  /** Looks where it is. Returns for how long it has stood still with a message in hand. */
  look(nowMs: number): number {
    const progress = this.line.machine?.progress ?? 0;
    return this.pulse.look(this.line, this.describe(), progress, this.transactions, this.messages > 0, nowMs);
  }

  /** Every wait has its own end; what stands still all the same (a question that is never answered) ends here. */
  #stuck(afterMs: number): void {
    const response = judgeStuck(afterMs, this.describe());
    this.#phase = "over";
    this.line.drop();
    for (const assigned of this.#hand.takeAll()) {
      this.#host.settled(this, assigned, { kind: "stuck", response }, "goes-on");
    }
    this.#host.ended(this);
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

  /** No address is left, or there never was one: the transaction in hand has its fate, the others were not tried. */
  #giveUp(fate: Fate): void {
    if (this.wasUp) {
      // It has served: that no other address could be reached is not held against the next message.
      this.#over();
      return;
    }
    const batch = this.#hand.batch();
    if (batch.length === 0) {
      // Fixed addresses are judged at once, before the message that the session was opened for has come.
      this.#early = fate;
      return;
    }
    this.#phase = "over";
    this.line.drop();
    this.#hand.keep([]);
    this.#giveBack();
    const last = batch.length - 1;
    batch.forEach((assigned, i) => {
      this.#host.settled(this, assigned, fate, i === last ? "unreachable" : "unreached");
    });
  }

  #giveBack(): void {
    for (const assigned of this.#hand.takeAll()) {
      this.#host.settled(this, assigned, { kind: "returned" }, "goes-on");
    }
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
    const batch = this.#hand.batch();
    assert(batch.length > 0, "a result came for no message");
    const { fates, session } = judge(result, this.path.config, this.#crowded);
    assert(fates.length === batch.length, "every recipient has a fate");
    this.#underWay = false;
    if (result.chunked) this.#noteChunk(result, fates);
    const goesOn = result.end === null;
    this.#again = !this.#quitting && this.#canConnectAgain(session) ? session : null;
    const left = batch.filter((_, i) => this.#stays(fates[i]));
    this.#hand.keep(left);
    this.#crowded = left.length > 0 && fates.some((fate) => fate.kind === "again");
    const last = !goesOn && result.end !== "quit" && this.#hand.length === 0 && this.#again === null;
    if (last) this.#phase = "over";
    else if (result.end === "quit") this.#phase = "closing";
    this.#settle(batch, fates, last);
    // What stays in hand is sent by onClosing, which connects again, or here.
    if (goesOn) this.#sendNext();
  }

  /** Tells the host what became of each recipient, the session's end with the last of those that are done with. */
  #settle(batch: readonly Assigned[], fates: readonly Fate[], last: boolean): void {
    let open = fates.reduce((sum, fate) => (this.#stays(fate) ? sum : sum + 1), 0);
    for (let i = 0; i < batch.length; i++) {
      const fate = fates[i];
      if (this.#stays(fate)) {
        if (fate.kind === "next-host") this.#host.failedOnce(this, batch[i], fate.response);
        continue;
      }
      open--;
      if (fate.kind === "delivered") this.delivered++;
      this.#host.settled(this, batch[i], asSettled(fate), last && open === 0 ? "ended" : "goes-on");
    }
  }

  /** Whether a message is tried at once once more; only then it is not settled. */
  #stays(fate: Fate): boolean {
    if (fate.kind === "by-data") return true;
    if (fate.kind === "again") return true;
    return fate.kind === "next-host" && this.targets.hasNext && !this.#quitting;
  }

  #noteChunk(result: TransactionResult, fates: readonly Fate[]): void {
    if (fates.some((fate) => fate.kind === "by-data")) this.#chunkOutcome("refused");
    else if (result.end === null || result.end === "quit") {
      // Not before the second one: a peer that took the content for commands may still have answers to them.
      if (this.#chunkTried || result.end === "quit") this.#chunkOutcome("worked");
      this.#chunkTried = true;
    } else if (result.end !== "peer-ended" && !result.untried) this.#chunkOutcome("lost");
  }

  #chunkOutcome(how: "worked" | "lost" | "refused"): void {
    const target = this.targets.current;
    if (target !== null) this.#host.chunked(target, how);
  }

  /** Whether the session may serve on over a new connection (`reconnect_strategy`). */
  #canConnectAgain(step: SessionStep): boolean {
    return step === "same-host" || (step === "next-host" && this.targets.hasNext);
  }

  onClosing(end: SessionEnd): void {
    if (end === "unsolicited" && this.#chunkTried) this.#chunkOutcome("lost");
    this.#chunkTried = false;
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
    this.#giveBack();
    this.#host.ended(this);
  }

  #sendNext(): void {
    while (!this.#quitting && this.#phase === "serving" && !this.#underWay) {
      const batch = this.#hand.batch();
      if (batch.length === 0) return;
      const message = this.#host.load(this, batch);
      if (message === "later") return;
      this.#hand.keep(batch.filter((assigned) => assigned.loaded !== null));
      if (message === "gone") continue;
      this.#underWay = true;
      const { machine } = this.line;
      const target = this.targets.current;
      assert(machine !== null && target !== null, "a serving session has a machine, and an address");
      this.transactions++;
      machine.send(message, this.#host.mayChunk(target));
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

/** A fate that asks for another try when there is none to be had. */
function asSettled(fate: Fate): Fate {
  return fate.kind === "next-host" ? { ...fate, kind: "transient" } : fate;
}
