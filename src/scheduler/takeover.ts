import type { Row, ShardIndex, SpoolKey, WorkerIndex } from "../base/brands.js";
import type { Core } from "./core.js";
import type { Disposal } from "./disposal.js";
import { RowFlag, State } from "./message-table.js";
import type { SettledMessages, WorkerPort } from "./ports.js";

/** What is known of a worker's death while its succession lasts. */
interface Succession {
  readonly worker: WorkerIndex;
  /** Messages that were in the dead worker's hands; null once their fate was found out. */
  orphans: Row[] | null;
  /** What the log says about the dead worker's last records. */
  settled: SettledMessages;
  /** The successor, once it is ready; it is told of nothing before the walk is over. */
  port: WorkerPort | null;
  /** Next row of the walk. */
  at: number;
}

const NOTHING: SettledMessages = { has: () => false };

/**
 * What it is:  the succession of a worker that died: what it had in its hands, and what it had been told without saying
 *              that it is done.
 * Runs on:     the scheduler's thread; the walk over the table in bounded steps.
 * Owns:        messages in dead hands until the log has been asked about them, and the walks that are under way.
 * When full:   one succession per worker.
 * On failure:  a successor that dies too takes over nothing; the next one begins from the first row.
 *
 *     lost ──▶ (the log is read) ──▶ informed ──▶ restored ──▶ walk … ──▶ the port is in use
 *
 * A worker writes its records before it reports them. So a record may be there that nobody was told of; the log is asked,
 * and such a message leaves the spool instead of being delivered, or decided about, a second time.
 */
export class Takeover {
  readonly #core: Core;
  readonly #disposal: Disposal;
  readonly #successions = new Map<WorkerIndex, Succession>();
  /** Rows that were given back while their own owner was down: their records come when it is up. */
  #unexplained: Row[] = [];

  constructor(core: Core, disposal: Disposal) {
    this.#core = core;
    this.#disposal = disposal;
  }

  /** A worker died with these messages in its hands. */
  lost(worker: WorkerIndex, orphans: Row[]): void {
    // The one before it died before it had taken over: what that left is this one's as well.
    const before = this.#successions.get(worker);
    const { table, workers } = this.#core;
    for (const row of orphans) table.session[row] = 0;
    workers.orphaned += orphans.length;
    if (before?.orphans != null) orphans.push(...before.orphans);
    this.#successions.set(worker, { worker, orphans, settled: before?.settled ?? NOTHING, port: null, at: 1 });
  }

  /** The log was asked which messages are settled, as far as the dead worker wrote it without reporting. */
  informed(worker: WorkerIndex, settled: SettledMessages): void {
    const succession = this.#successions.get(worker);
    if (succession === undefined) return;
    // A second death before the first was seen to: what either log says is true.
    const before = succession.settled;
    succession.settled =
      before === NOTHING ? settled : { has: (shard, key) => before.has(shard, key) || settled.has(shard, key) };
    this.#release(succession);
  }

  /** A worker is ready. Returns whether it can be used at once; if not, it will be when its succession is over. */
  restored(worker: WorkerIndex, port: WorkerPort): boolean {
    const succession = this.#successions.get(worker);
    if (succession === undefined) return true;
    this.#release(succession);
    succession.port = port;
    succession.at = 1;
    return false;
  }

  /** Walks over at most `max` rows; returns how many. A succession that is over puts its worker's port into use. */
  step(max: number): number {
    if (this.#successions.size === 0) return 0;
    const { table } = this.#core;
    for (const succession of this.#successions.values()) {
      if (succession.port === null) continue;
      const end = Math.min(succession.at + max, table.highWater + 1);
      for (let row = succession.at; row < end; row++) this.#look(row as Row, succession);
      const walked = end - succession.at;
      succession.at = end;
      if (end > table.highWater) this.#finish(succession, succession.port);
      return Math.max(1, walked);
    }
    return 0;
  }

  /** The messages in dead hands: settled, or waiting again with a reason and without an attempt. */
  #release(succession: Succession): void {
    const { table, workers, placement, counters } = this.#core;
    const orphans = succession.orphans ?? [];
    succession.orphans = null;
    workers.orphaned -= orphans.length;
    for (const row of orphans) {
      if (succession.settled.has(table.shard[row] as ShardIndex, table.key[row] as SpoolKey)) {
        counters.foundSettled++;
        placement.retire(row, true);
      } else if (!placement.setAsideIfSentenced(row)) {
        counters.dropped++;
        placement.giveBack(row);
        if (!this.#disposal.explainDrop(row)) this.#unexplained.push(row);
      }
    }
  }

  /**
   * What the dead worker had been told and not confirmed is told again: removals, attempts and due times. A decision whose
   * record is in the log is not made anew.
   */
  #look(row: Row, { worker, settled }: Succession): void {
    const { table, workers, placement, counters } = this.#core;
    const state = table.state[row];
    if (state === State.free || workers.owner[table.shard[row]] !== worker) return;
    if (state !== State.retiring) {
      // One that another worker has in hand is looked at when it comes back.
      const aside = state !== State.inFlight && placement.setAsideIfSentenced(row);
      if (!aside && table.attempts[row] > 0) placement.unsaved(row);
      return;
    }
    const open = table.flags[row] & (RowFlag.disposing | RowFlag.sentenced);
    const isSettled = open !== 0 && settled.has(table.shard[row] as ShardIndex, table.key[row] as SpoolKey);
    if (isSettled) {
      table.flags[row] &= ~open;
      counters.foundSettled++;
    } else if ((open & RowFlag.disposing) !== 0) {
      table.flags[row] &= ~RowFlag.disposing;
      if (!placement.setAsideIfSentenced(row)) placement.giveBack(row);
      return;
    }
    if (!table.has(row, RowFlag.owed)) placement.owe(row);
  }

  #finish(succession: Succession, port: WorkerPort): void {
    const { table, workers, paths, agenda } = this.#core;
    this.#successions.delete(succession.worker);
    workers.ports[succession.worker] = port;
    for (const path of paths.all()) agenda.serviceable.ensure(path.serviceLink);
    this.#unexplained = this.#unexplained.filter(
      (row) => table.has(row, RowFlag.dropped) && !this.#disposal.explainDrop(row),
    );
  }
}
