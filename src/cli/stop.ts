import type { Command } from "commander";
import { messageOf } from "../base/fault.js";
import type { CompiledConfig, ListenAddress } from "../config/compiled.js";
import { formatSocketAddress } from "../config/text-kinds.js";
import { spoolOwner } from "../worker/spool/lock.js";
import { durationArgument, optionWithDefault } from "./arguments.js";
import { EX_CONFIG, loadOrExplain } from "./config-argument.js";

/** Where commands find a running server when nothing else is said. */
export const DEFAULT_ENDPOINT = "http://127.0.0.1:8000";
/** Exit status of a command that was called wrongly. */
export const EX_USAGE = 2;
/** Exit status when the server cannot be reached. */
export const EX_UNREACHABLE = 3;

const SECOND_MS = 1000;
const DEFAULT_TIMEOUT_MS = 30 * SECOND_MS;
/** Longest wait for the answer to the order, and for that to a look whether the server is still there. */
const ANSWER_MS = 10 * SECOND_MS;
const LOOK_MS = SECOND_MS;
const POLL_MS = 100;
/** So many looks in a row without a connection, and nobody listens there any more. */
const LOOKS_IN_VAIN = 2;

interface StopFlags {
  readonly endpoint?: string;
  readonly config?: string;
  readonly timeout: number;
  readonly json?: boolean;
}

/** Adds `hikyaku stop` to the command line. */
export function addStopCommand(program: Command): void {
  program
    .command("stop")
    .description("ask a running server to finish what is under way and stop, and wait until it has gone")
    .option("--endpoint <URL>", `the server's HTTP listener (default: HIKYAKU_ENDPOINT, ${DEFAULT_ENDPOINT})`)
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
  let config: CompiledConfig | null = null;
  if (flags.config !== undefined) {
    const loaded = loadOrExplain(flags.config);
    if (loaded === null) return EX_CONFIG;
    config = loaded.config;
  }
  let endpoint = flags.endpoint ?? null;
  if (endpoint === null && config !== null) {
    endpoint = endpointOf(config.httpListeners.map(({ listen }) => listen));
    if (endpoint === null) {
      complain(`${flags.config} has no HTTP listener with a fixed port; name where it listens with --endpoint`);
      return 1;
    }
  }
  endpoint ??= process.env["HIKYAKU_ENDPOINT"] ?? DEFAULT_ENDPOINT;
  if (!/^https?:\/\//i.test(endpoint) || !URL.canParse(endpoint)) {
    complain(`the endpoint ${JSON.stringify(endpoint)} is no URL of a server, such as ${DEFAULT_ENDPOINT}`);
    return EX_USAGE;
  }
  const spool = config?.spool.path ?? null;
  const owner = spool === null ? null : spoolOwner(spool);

  let response: Response;
  try {
    response = await fetch(new URL("/api/admin/stop/v1", endpoint), {
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
      ? await waitFor(() => hasGone(endpoint), LOOKS_IN_VAIN, flags.timeout)
      : await waitFor(() => Promise.resolve(spoolOwner(spool) !== owner), 1, flags.timeout);
  if (flags.json === true) process.stdout.write(`${JSON.stringify({ stopping: true, stopped: gone })}\n`);
  else if (gone) process.stdout.write("stopped\n");
  if (gone) return 0;
  const who = owner === null ? `the server at ${endpoint}` : `the server, process ${owner},`;
  complain(`${who} is still stopping after ${flags.timeout / SECOND_MS} s`);
  return 1;
}

/**
 * The URL of the first listener whose port is known beforehand; an address that means all of the machine's is asked on
 * the loopback. Null when there is none.
 */
export function endpointOf(listeners: readonly ListenAddress[]): string | null {
  const listen = listeners.find(({ port }) => port !== 0);
  if (listen === undefined) return null;
  const host = { "0.0.0.0": "127.0.0.1", "::": "::1" }[listen.host] ?? listen.host;
  return `http://${formatSocketAddress({ host, port: listen.port })}`;
}

/**
 * One look over HTTP: true when nobody listens, or when who listens is not stopping, so that it is another server, which
 * a supervisor has started in the meantime. Somebody who does not answer in time is still there.
 */
async function hasGone(endpoint: string): Promise<boolean> {
  try {
    const response = await fetch(new URL("/healthz/ready", endpoint), { signal: AbortSignal.timeout(LOOK_MS) });
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
