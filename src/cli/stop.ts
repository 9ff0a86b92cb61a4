import type { Command } from "commander";
import { messageOf } from "../base/fault.js";
import { spoolOwner } from "../worker/spool/lock.js";
import { durationArgument, optionWithDefault } from "./arguments.js";
import { EX_UNREACHABLE } from "./config-argument.js";
import { ENDPOINT_HELP, type EndpointFlags, findEndpoint } from "./endpoint.js";

const SECOND_MS = 1000;
const DEFAULT_TIMEOUT_MS = 30 * SECOND_MS;
/** Longest wait for the answer to the order, and for that to a look whether the server is still there. */
const ANSWER_MS = 10 * SECOND_MS;
const LOOK_MS = SECOND_MS;
const POLL_MS = 100;
/** So many looks in a row without a connection, and nobody listens there any more. */
const LOOKS_IN_VAIN = 2;

interface StopFlags extends EndpointFlags {
  readonly timeout: number;
  readonly json?: boolean;
}

/** Adds `hikyaku stop` to the command line. */
export function addStopCommand(program: Command): void {
  program
    .command("stop")
    .description("ask a running server to finish what is under way and stop, and wait until it has gone")
    .option("--endpoint <URL>", ENDPOINT_HELP)
    .option("--config <FILE>", "the server's configuration, which says where its HTTP listener and its spool are")
    .addOption(
      optionWithDefault(
        "--timeout <TIME>",
        "longest wait for its end; 0 does not wait",
        durationArgument(SECOND_MS),
        DEFAULT_TIMEOUT_MS,
        "30s",
      ),
    )
    .option("--json", "print the answer as JSON")
    .action(async (flags: StopFlags) => {
      process.exitCode = await stop(flags);
    });
}

async function stop(flags: StopFlags): Promise<number> {
  const found = findEndpoint(flags, process.env);
  if ("refusal" in found) {
    complain(found.refusal);
    return found.exitCode;
  }
  const { url, shown: endpoint, config } = found;
  const spool = config?.spool.path ?? null;
  const owner = spool === null ? null : spoolOwner(spool);

  let response: Response;
  try {
    response = await fetch(new URL("/api/admin/stop/v1", url), {
      method: "POST",
      signal: AbortSignal.timeout(ANSWER_MS),
    });
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    complain(`no server at ${endpoint}: ${messageOf(cause)}`);
    return EX_UNREACHABLE;
  }
  const body = await response.text();
  if (!response.ok) {
    complain(`${endpoint} answered ${response.status}: ${body.slice(0, 200)}`);
    return 1;
  }
  if (flags.json !== true) process.stdout.write("stopping\n");
  if (flags.timeout === 0) {
    if (flags.json === true) process.stdout.write(`${body}\n`);
    return 0;
  }
  const gone =
    spool === null || owner === null
      ? await waitFor(() => hasGone(url), LOOKS_IN_VAIN, flags.timeout)
      : await waitFor(() => Promise.resolve(spoolOwner(spool) !== owner), 1, flags.timeout);
  if (flags.json === true) process.stdout.write(`${JSON.stringify({ stopping: true, stopped: gone })}\n`);
  else if (gone) process.stdout.write("stopped\n");
  if (gone) return 0;
  const who = owner === null ? `the server at ${endpoint}` : `the server, process ${owner},`;
  complain(`${who} is still stopping after ${flags.timeout / SECOND_MS} s`);
  return 1;
}

/**
 * One look over HTTP: true when nobody listens, or when who listens is not stopping, so that it is another server, which
 * a supervisor has started in the meantime. Somebody who does not answer in time is still there.
 */
async function hasGone(url: URL): Promise<boolean> {
  try {
    const response = await fetch(new URL("/healthz/ready", url), { signal: AbortSignal.timeout(LOOK_MS) });
    return !(await response.text()).includes('"stopping"');
  } catch (error) {
    return !(error instanceof DOMException && error.name === "TimeoutError");
  }
}

/** Looks again and again until it was true `times` in a row; false when that has not come about in time. */
async function waitFor(look: () => Promise<boolean>, times: number, timeoutMs: number): Promise<boolean> {
  const deadlineMs = performance.now() + timeoutMs;
  let inRow = 0;
  while (true) {
    inRow = (await look()) ? inRow + 1 : 0;
    if (inRow >= times) return true;
    if (performance.now() >= deadlineMs) return false;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function complain(line: string): void {
  process.stderr.write(`hikyaku stop: ${line}\n`);
}
