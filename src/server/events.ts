import type { ListenAddress } from "../config/compiled.js";

/** What a server tells its owner. */
export interface ServerEvents {
  /** Something that an operator must know; one line. */
  notice(line: string): void;
  /** A bug of ours; the process must end. What is durable stays durable. */
  panic(error: unknown): void;
}

/** What runs where, once everything listens. */
export interface ServerReady {
  readonly pid: number;
  readonly smtp: readonly ListenAddress[];
  readonly http: readonly ListenAddress[];
  /** The built-in sink, in sandbox mode. */
  readonly sink: ListenAddress | null;
  readonly workers: number;
  readonly durability: string;
  /** Why the native addon is not in use, null when it is. */
  readonly addonRefusal: string | null;
  readonly logDir: string;
}
