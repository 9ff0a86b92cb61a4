/** A broken invariant of our own: ends the thread that met it. Never thrown for anything an outsider can cause. */
export class Panic extends Error {
  override readonly name = "Panic";
}

/**
 * States an invariant. `message` is built by the caller as a constant string, so that a passing check costs nothing.
 * @throws {Panic} when `condition` is false.
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Panic(message);
}

/**
 * The end of an exhaustive switch: the compiler proves that it is never reached.
 * @throws {Panic} always.
 */
export function unreachable(value: never): never {
  throw new Panic(`unreachable: ${String(value)}`);
}
