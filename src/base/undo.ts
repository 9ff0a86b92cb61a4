/** Steps that undo what was done, run in reverse order, each once. */
export class Undo {
  readonly #steps: (() => void | Promise<void>)[] = [];

  /** Adds a step; it is run before those that were added earlier. */
  push(step: () => void | Promise<void>): void {
    this.#steps.push(step);
  }

  /** Runs all steps and forgets them; the first that fails ends the run. */
  async run(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) await step();
  }
}
