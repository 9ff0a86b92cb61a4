import { type Command, Option } from "commander";
import { messageOf } from "../base/fault.js";
import { EX_UNREACHABLE } from "./config-argument.js";
import { type EndpointFlags, findEndpoint } from "./endpoint.js";
import { type ReadyQueueParts, readyQueueAnswer, readyQueueText } from "./ready-queue-text.js";

const PATH = "/api/admin/inspect-ready-q/v1";
/** Well above what the server waits for its workers. */
const ANSWER_MS = 15_000;

interface InspectFlags extends ReadyQueueParts {
  readonly endpoint?: string;
  readonly json?: boolean;
}

/** Adds `hikyaku inspect-ready-q` to the command line. Its `--config` is a switch, as with the reference's command. */
export function addInspectReadyQueueCommand(program: Command): void {
  program
    .command("inspect-ready-q")
    .description("show a ready queue of a running server: what it waits for, and what its connections do")
    .argument("<NAME>", "the ready queue, SOURCE->SITE@smtp_client, as the field site of log records has it")
    .option("--connections", "show each connection: its phase, since when, its last progress, its peer")
    .option("--config", "show the options of the path")
    .option("--sched-q", "show the scheduled queues that feed it")
    .addOption(
      new Option("--json", "print the answer as JSON, with everything").conflicts(["connections", "config", "schedQ"]),
    )
    .option("--endpoint <URL>", "the server's HTTP listener (default: HIKYAKU_ENDPOINT; that of the configuration)")
    .action(async (name: string, flags: InspectFlags) => {
      process.exitCode = await inspect(name, flags);
    });
}

async function inspect(name: string, flags: InspectFlags): Promise<number> {
  const where: EndpointFlags = flags.endpoint === undefined ? {} : { endpoint: flags.endpoint };
  const found = findEndpoint(where, process.env);
  if ("refusal" in found) return complain(found.refusal, found.exitCode);
  const url = new URL(PATH, found.url);
  url.searchParams.set("queue_name", name);
  if (flags.schedQ === true || flags.json === true) url.searchParams.set("include_scheduled_queues", "true");
  let response: Response;
  let body: string;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS) });
    body = await response.text();
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    return complain(`no server at ${found.shown}: ${messageOf(cause)}`, EX_UNREACHABLE);
  }
  if (response.status === 404 && body.includes("no ready queue")) {
    return complain(`there is no ready queue named ${JSON.stringify(name)}`, 1);
  }
  const answer = parse(body);
  if (response.status !== 200 || answer === null) {
    return complain(`${found.shown} answered ${response.status}: ${body.slice(0, 200)}`, 1);
  }
  process.stdout.write(
    flags.json === true ? `${JSON.stringify(JSON.parse(body), null, 2)}\n` : readyQueueText(answer, flags),
  );
  return 0;
}

function parse(body: string): ReturnType<typeof readyQueueAnswer.parse> | null {
  try {
    return readyQueueAnswer.parse(JSON.parse(body));
  } catch {
    return null;
  }
}

function complain(what: string, exitCode: number): number {
  process.stderr.write(`hikyaku inspect-ready-q: ${what}\n`);
  return exitCode;
}
