import type { Problem } from "./problems.js";

/** What became of a reload. */
export type Reloaded =
  | {
      readonly kind: "applied";
      readonly epoch: number;
      readonly warnings: readonly Problem[];
      /** Settings that are written otherwise than at the start, and take effect only there. */
      readonly needsRestart: readonly string[];
    }
  /** Nothing has changed. `reason`: one line per problem. */
  | { readonly kind: "refused"; readonly reason: string; readonly problems: readonly Problem[] };

/** Counts of reloads since the start, for metrics. */
export interface ReloadFigures {
  readonly epoch: number;
  readonly applied: number;
  readonly refused: number;
  /** The last reading was refused: what is in force is not what the files say. */
  readonly stale: boolean;
  readonly needsRestart: number;
}
