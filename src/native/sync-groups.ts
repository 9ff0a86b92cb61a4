import { Fault } from "../base/fault.js";

/** Starts one `fdatasync`; `done` gets the errno's name or null, later, exactly once. */
export type StartSync = (fd: number, done: (errno: string | null) => void) => void;

interface Group {
  running: Promise<void>;
  /** The sync after the running one, for those who came too late for it; null when nobody waits. */
  next: Promise<void> | null;
}

/**
 * Groups syncs of a descriptor: one runs, one is next, whoever asks while one runs shares the next one.
 * Runs on: the thread that syncs.
 * Owns: at most two promises per descriptor under sync.
 * When full: cannot be; the number of waiters costs nothing.
 * On failure: all of a group get the fault; the next group syncs again, which proves nothing about the failed bytes.
 */
export class SyncGroups {
  readonly #groups = new Map<number, Group>();
  readonly #start: StartSync;

  constructor(start: StartSync) {
    this.#start = start;
  }

  /**
   * Resolves after a sync that began after this call.
   * @throws {Fault} `spool.commit-failed` with the errno, as a rejection.
   */
  sync(fd: number): Promise<void> {
    const group = this.#groups.get(fd);
    if (group === undefined) {
      const running = this.#run(fd);
      this.#groups.set(fd, { running, next: null });
      return running;
    }
    group.next ??= group.running.then(
      () => this.#advance(fd, group),
      () => this.#advance(fd, group),
    );
    return group.next;
  }

  /** Makes the next group the running one. */
  #advance(fd: number, group: Group): Promise<void> {
    group.running = this.#run(fd);
    group.next = null;
    return group.running;
  }

  #run(fd: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#start(fd, (errno) => {
        const group = this.#groups.get(fd);
        if (group !== undefined && group.next === null) this.#groups.delete(fd);
        if (errno === null) resolve();
        else reject(new Fault("spool.commit-failed", `fdatasync of descriptor ${fd}: ${errno}`, { errno }));
      });
    });
  }
}
