/** Steps that undo what was done, run in reverse order, each once. */
export class Undo {
  readonly #steps: (() => void | Promise<void>)[] = [];

  /** Adds a step; it is run before those that were added earlier. */
  push(step: () => void | Promise<void>): void {
    this.#steps.push(step);
  }

  /**
   * Runs all steps and forgets them. A step that fails does not keep the others from being run: what they hold (a lock, a
   * thread) must not outlive us for its sake.
   * @throws the first failure, when every step has been run.
   */
  async run(): Promise<void> {
    const failures: unknown[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
