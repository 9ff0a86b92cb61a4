/**
 * What a start waits for: that every worker listens, or one of them fails.
 *
 * Runs on   the main thread
 * Owns      the sockets that listen, and the first failure
 * When full one entry per worker and listener
 * On failure the first one ends the start; later ones are somebody else's business
 */
import type { Fault } from "../base/fault.js";
import type { ListenAddress } from "../config/compiled.js";

/** See the file's header. */
export class Starting {
  /** `worker listener` of every socket that listens. */
  readonly #listening = new Map<string, ListenAddress>();
  #failure: Fault | null = null;
  #check: () => void = () => {};
  #isOver = false;

  /** Everything listens: what fails from now on does not end the server. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Sockets that listen. */
  get listening(): number {
    return this.#listening.size;
  }

  /** A worker's socket listens. */
  listens(worker: number, listener: number, address: ListenAddress): void {
    this.#listening.set(`${worker} ${listener}`, address);
  }

  /** Where a worker's listener listens; undefined when it does not. */
  address(worker: number, listener: number): ListenAddress | undefined {
    return this.#listening.get(`${worker} ${listener}`);
  }

  /** Something failed that a start cannot do without. The first one counts. */
  failed(fault: Fault): void {
    this.#failure ??= fault;
  }

  /** Waits until the workers have brought it about, or one of them has failed. */
  until(done: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#check = (): void => {
        if (this.#failure !== null) reject(this.#failure);
        else if (done()) resolve();
        else return;
        this.#check = (): void => {};
      };
      this.#check();
    });
  }

  /** Looks again whether what is waited for has come about. */
  look(): void {
    this.#check();
  }

  /** The start has come to its end. */
  over(): void {
    this.#isOver = true;
  }
}
