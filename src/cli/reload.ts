import type { Command } from "commander";
import { z } from "zod";
import { messageOf } from "../base/fault.js";
import { EX_CONFIG, EX_UNREACHABLE } from "./config-argument.js";
import { ENDPOINT_HELP, type EndpointFlags, findEndpoint } from "./endpoint.js";

const PATH = "/api/admin/bump-config-epoch";
/** Longer than the server allows itself for the reading. */
const ANSWER_MS = 40_000;

const problem = z.object({ file: z.string(), line: z.number().nullable(), key: z.string(), message: z.string() });
const applied = z.object({ epoch: z.number(), warnings: z.array(problem), needs_restart: z.array(z.string()) });
const refused = z.object({ error: z.string() });

interface ReloadFlags extends EndpointFlags {
  readonly json?: boolean;
}

/** Adds `hikyaku reload` to the command line. */
export function addReloadCommand(program: Command): void {
  program
    .command("reload")
    .description(
      "have a running server read its configuration again; exit 0 when it is in force, 1 when it is wrong and the old one stays",
    )
    .option("--endpoint <URL>", ENDPOINT_HELP)
    .option("--config <FILE>", "the server's configuration, which says where its HTTP listener is")
    .option("--json", "print the answer as JSON")
    .action(async (flags: ReloadFlags) => {
      process.exitCode = await reload(flags);
    });
}

async function reload(flags: ReloadFlags): Promise<number> {
  const found = findEndpoint(flags, process.env);
  if ("refusal" in found) {
    complain(found.refusal);
    // A configuration that is too wrong to say where its server is would be refused by that one, too.
    return found.exitCode === EX_CONFIG ? 1 : found.exitCode;
  }
  const { url, shown: endpoint } = found;
  let response: Response;
  let body: string;
  try {
    response = await fetch(new URL(PATH, url), { method: "POST", signal: AbortSignal.timeout(ANSWER_MS) });
    body = await response.text();
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    complain(`no server at ${endpoint}: ${messageOf(cause)}`);
    return EX_UNREACHABLE;
  }
  if (flags.json === true) process.stdout.write(`${body}\n`);
  const answer = parse(body);
  const good = applied.safeParse(answer);
  if (response.status === 200 && good.success) {
    if (flags.json !== true) process.stdout.write(text(good.data));
    return 0;
  }
  const bad = refused.safeParse(answer);
  if (response.status === 422 && bad.success) {
    if (flags.json !== true) complain(`the configuration is wrong, the old one stays in force:\n${bad.data.error}`);
    return 1;
  }
  complain(`${endpoint} answered ${response.status}: ${body.slice(0, 200)}`);
  return 1;
}

function text({ epoch, warnings, needs_restart }: z.infer<typeof applied>): string {
  const lines = [`in force, epoch ${epoch}`];
  for (const { file, line, key, message } of warnings) {
    lines.push(`warning: ${file}${line === null ? "" : `:${line}`}: ${key}: ${message}`);
  }
  if (needs_restart.length > 0) lines.push(`changed, but needs a restart: ${needs_restart.join(", ")}`);
  return `${lines.join("\n")}\n`;
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

function complain(what: string): void {
  process.stderr.write(`hikyaku reload: ${what}\n`);
}
