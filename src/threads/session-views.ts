/**
 * Asks the workers what their delivery sessions do, for somebody who looks at a ready queue.
 *
 * Runs on   the main thread
 * Owns      the questions under way
 * When full MAX_QUESTIONS at a time; one more is answered at once as if nobody had answered it
 * On failure a worker that cannot be told, dies or takes longer than PATIENCE_MS is named as silent; an answer that comes
 *           later finds nobody
 */
import type { DownMessage, UpMessage } from "../protocol/messages.js";
import type { SessionView } from "../protocol/session-view.js";

/** How long a worker has for its answer. One that is busy takes a turn in a few milliseconds. */
const PATIENCE_MS = 1000;
const MAX_QUESTIONS = 8;

/** A session that is asked about, and the worker that has it. */
export interface AskedSession {
  readonly id: number;
  readonly worker: number;
}

/** What the workers said. */
export interface SessionViewsAnswer {
  readonly views: ReadonlyMap<number, SessionView>;
  /** Workers that did not answer, or not to the end. */
  readonly silent: readonly number[];
}

/** How a worker is told something: false when it is not there, or its ring is full. */
export interface WorkerTeller {
  tell(worker: number, message: DownMessage): boolean;
}

interface Question {
  readonly views: Map<number, SessionView>;
  readonly waiting: Set<number>;
  readonly silent: number[];
  readonly timer: NodeJS.Timeout;
  readonly done: (answer: SessionViewsAnswer) => void;
}

/** See the file's header. */
export class SessionViews {
  readonly #workers: WorkerTeller;
  readonly #patienceMs: number;
  readonly #questions = new Map<number, Question>();
  #lastNumber = 0;

  constructor(workers: WorkerTeller, patienceMs = PATIENCE_MS) {
    this.#workers = workers;
    this.#patienceMs = patienceMs;
  }

  /** Asks about sessions; the caller bounds how many. Never rejects. */
  ask(sessions: readonly AskedSession[]): Promise<SessionViewsAnswer> {
    const byWorker = new Map<number, number[]>();
    for (const { id, worker } of sessions) {
      const ids = byWorker.get(worker);
      if (ids === undefined) byWorker.set(worker, [id]);
      else ids.push(id);
    }
    if (this.#questions.size >= MAX_QUESTIONS) {
      return Promise.resolve({ views: new Map(), silent: [...byWorker.keys()] });
    }
    return new Promise((done) => {
      const request = ++this.#lastNumber;
      const timer = setTimeout(() => this.#end(request), this.#patienceMs);
      const question: Question = { views: new Map(), waiting: new Set(), silent: [], timer, done };
      this.#questions.set(request, question);
      for (const [worker, ids] of byWorker) {
        if (this.#workers.tell(worker, { kind: "inspect", request, sessions: ids })) question.waiting.add(worker);
        else question.silent.push(worker);
      }
      this.#look(request, question);
    });
  }

  /** A worker answers, or a part of it. */
  inspected(worker: number, message: UpMessage & { readonly kind: "inspected" }): void {
    const question = this.#questions.get(message.request);
    if (question === undefined) return;
    for (const view of message.sessions) question.views.set(view.id, view);
    if (message.last) question.waiting.delete(worker);
    this.#look(message.request, question);
  }

  /** A worker died. */
  lost(worker: number): void {
    for (const [request, question] of [...this.#questions]) {
      if (!question.waiting.delete(worker)) continue;
      question.silent.push(worker);
      this.#look(request, question);
    }
  }

  /** Answers whoever waits with what there is. */
  stop(): void {
    for (const request of [...this.#questions.keys()]) this.#end(request);
  }

  #look(request: number, question: Question): void {
    if (question.waiting.size === 0) this.#end(request);
  }

  #end(request: number): void {
    const question = this.#questions.get(request);
    if (question === undefined) return;
    this.#questions.delete(request);
    clearTimeout(question.timer);
    question.done({ views: question.views, silent: [...question.silent, ...question.waiting].sort((a, b) => a - b) });
  }
}
