import { type Summary, World } from "./world.js";

/** How a simulated run ended. */
export type SimulationResult =
  | { readonly ok: true; readonly seed: number; readonly summary: Summary }
  | { readonly ok: false; readonly seed: number; readonly step: number; readonly error: unknown };

/** Runs the world of `seed` for `steps` steps and then to its end. Never throws. */
export function simulate(seed: number, steps: number): SimulationResult {
  let step = 0;
  try {
    const world = new World(seed);
    for (; step < steps; step++) world.step();
    return { ok: true, seed, summary: world.finish() };
  } catch (error) {
    return { ok: false, seed, step, error };
  }
}
