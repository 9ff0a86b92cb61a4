import type { ShardIndex, SpoolKey } from "../../src/base/brands.js";
import { Fault } from "../../src/base/fault.js";

/** A simulated rule was broken: the seed and step are added by whoever runs the simulation. */
export function violation(what: string): never {
  throw new Fault("sim.violation", what);
}

/** Throws a violation unless `condition` holds. */
export function must(condition: boolean, what: string): asserts condition {
  if (!condition) violation(what);
}

/** One accepted message as the outside world knows it: what was promised, and what became of it. */
export interface Message {
  readonly shard: ShardIndex;
  readonly key: SpoolKey;
  readonly queue: string;
  readonly size: number;
  /** Place among the recipients of its transaction. */
  readonly nth: number;
  /** Still in the spool. */
  stored: boolean;
  /** What the spool says. */
  attempts: number;
  dueMs: number;
  /** Failed attempts whose report reached the scheduler's ring: what the scheduler must count. */
  failures: number;
  /** No attempt before this. */
  notBeforeMs: number;
  /** Terminal records in the log: one for everybody, however many workers die. */
  records: number;
  /** Times that a receiver took it. */
  taken: number;
  /** Times that a worker died between a receiver's taking it and the record: each allows one more delivery. */
  windows: number;
  /** What a worker dies of when it does it. */
  readonly deadly: "no" | "sending" | "deciding";
  /** Workers that died of it. */
  deaths: number;
  /** In the hands of a session that lives. */
  inHand: boolean;
}

/** All messages of a simulation, by shard and key. */
export class Ledger {
  readonly messages: Message[] = [];
  readonly #byKey = new Map<string, Message>();

  add(message: Message): void {
    this.messages.push(message);
    this.#byKey.set(`${message.shard}/${message.key}`, message);
  }

  find(shard: ShardIndex, key: SpoolKey): Message {
    return this.#byKey.get(`${shard}/${key}`) ?? violation(`message ${shard}/${key} was never accepted`);
  }

  /** A terminal record is written. */
  record(message: Message): void {
    message.records++;
    must(message.records <= 1, "a second terminal record");
  }

  /** A receiver takes the message. */
  take(message: Message): void {
    message.taken++;
    must(message.taken <= 1 + message.windows, "delivered twice outside of the stated window");
  }

  /** Every message has its end. */
  mustBeSettled(): void {
    for (const message of this.messages) {
      must(message.records >= 1, `message ${message.shard}/${message.key} of ${message.queue} has no terminal record`);
      must(!message.stored, `message ${message.shard}/${message.key} of ${message.queue} is still in the spool`);
    }
  }
}
