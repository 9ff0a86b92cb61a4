import { Fault } from "../base/fault.js";

/** Runs a command's action; a fault becomes a line on stderr and exit status 1, anything else is ours and goes on. */
export async function reportFaults(command: string, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    process.stderr.write(`hikyaku ${command}: ${error.message}\n`);
    process.exitCode = 1;
  }
}
