import type { Command } from "commander";
import { messageOf } from "../base/fault.js";

/** Where commands find a running server when nothing else is said. */
export const DEFAULT_ENDPOINT = "http://127.0.0.1:8000";
/** Exit status when the server cannot be reached. */
export const EX_UNREACHABLE = 3;

/** Adds `hikyaku stop` to the command line. */
export function addStopCommand(program: Command): void {
  program
    .command("stop")
    .description("ask a running server to finish what is under way and stop")
    .option("--endpoint <URL>", `the server's HTTP listener (default: HIKYAKU_ENDPOINT, ${DEFAULT_ENDPOINT})`)
    .option("--json", "print the answer as JSON")
    .action(async (flags: { readonly endpoint?: string; readonly json?: boolean }) => {
      const endpoint = flags.endpoint ?? process.env["HIKYAKU_ENDPOINT"] ?? DEFAULT_ENDPOINT;
      process.exitCode = await stop(endpoint, flags.json === true);
    });
}

async function stop(endpoint: string, json: boolean): Promise<number> {
  let response: Response;
  try {
    response = await fetch(new URL("/api/admin/stop/v1", endpoint), { method: "POST" });
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    process.stderr.write(`hikyaku stop: no server at ${endpoint}: ${messageOf(cause)}\n`);
    return EX_UNREACHABLE;
  }
  const body = await response.text();
  if (!response.ok) {
    process.stderr.write(`hikyaku stop: ${endpoint} answered ${response.status}: ${body.slice(0, 200)}\n`);
    return 1;
  }
  process.stdout.write(json ? `${body}\n` : "stopping\n");
  return 0;
}
