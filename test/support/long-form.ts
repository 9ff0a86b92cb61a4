import { type Command, CommanderError, InvalidArgumentError } from "commander";

/** Reads the options of a program that is run by hand; `--help` ends it with 0, wrong usage with 2 and a line that says why. */
export function readOptions<T extends object>(command: Command): T {
  command.exitOverride().showHelpAfterError(`(see ${command.name()} --help)`).allowExcessArguments(false);
  try {
    return command.parse(process.argv).opts<T>();
  } catch (error) {
    if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : 2);
    throw error;
  }
}

/** A number of minutes, fractions allowed; 0 is once. */
export function minutesArgument(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Expected a number of minutes, from 0.");
}

/** A fresh seed where none was named: the run prints it. */
export function freshSeed(): number {
  return Date.now() % 1_000_000_007;
}
