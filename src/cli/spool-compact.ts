import { request as requestPlain } from "node:http";
import { request as requestSecure } from "node:https";
import { type Command, Option } from "commander";
import { z } from "zod";
import { messageOf } from "../base/fault.js";
import { EX_UNREACHABLE } from "./config-argument.js";
import { ENDPOINT_HELP, type EndpointFlags, findEndpoint } from "./endpoint.js";

const PATH = "/api/admin/spool-compact/v1";

const answerShape = z.object({
  before_bytes: z.number(),
  after_bytes: z.number(),
  shards: z.array(
    z.object({
      shard: z.number(),
      before_bytes: z.number(),
      after_bytes: z.number(),
      held_ms: z.number(),
      error: z.string().nullable(),
    }),
  ),
  errors: z.array(z.string()),
});
type Answer = z.infer<typeof answerShape>;

interface CompactFlags extends EndpointFlags {
  readonly name?: string;
  readonly json?: boolean;
}

/** Adds `hikyaku spool-compact` to the command line. */
export function addSpoolCompactCommand(program: Command): void {
  program
    .command("spool-compact")
    .description("have a running server give the free space of its spool's files back, and wait until it has")
    .addOption(new Option("--name <NAME>", "the spool to compact; here all are one").choices(["spool", "data", "meta"]))
    .option("--endpoint <URL>", ENDPOINT_HELP)
    .option("--config <FILE>", "the server's configuration, which says where its HTTP listener is")
    .option("--json", "print the answer as JSON")
    .action(async (flags: CompactFlags) => {
      process.exitCode = await compact(flags);
    });
}

async function compact(flags: CompactFlags): Promise<number> {
  const found = findEndpoint(flags, process.env);
  if ("refusal" in found) {
    complain(found.refusal);
    return found.exitCode;
  }
  const { url, shown: endpoint } = found;
  let response: { status: number; body: string };
  try {
    response = await post(new URL(PATH, url), JSON.stringify(flags.name === undefined ? {} : { name: flags.name }));
  } catch (error) {
    complain(`no server at ${endpoint}: ${messageOf(error)}`);
    return EX_UNREACHABLE;
  }
  const answer = parse(response.body);
  if (answer === null) {
    complain(`${endpoint} answered ${response.status}: ${response.body.slice(0, 200)}`);
    return 1;
  }
  process.stdout.write(flags.json === true ? `${response.body}\n` : text(answer));
  return response.status === 200 ? 0 : 1;
}

/** Not `fetch`, which gives up after five minutes: a large spool takes as long as it takes. */
function post(url: URL, body: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const request = url.protocol === "https:" ? requestSecure : requestPlain;
    const asked = request(url, { method: "POST", headers }, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts).toString() }));
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

function parse(body: string): Answer | null {
  try {
    const parsed = answerShape.safeParse(JSON.parse(body));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

function text({ shards, errors, before_bytes, after_bytes }: Answer): string {
  const row = (cells: readonly string[]): string =>
    cells.map((cell, i) => cell.padStart([5, 14, 14, 8][i]!)).join("  ");
  const lines = [row(["shard", "bytes before", "bytes after", "held"])];
  for (const { shard, before_bytes: before, after_bytes: after, held_ms, error } of shards) {
    const line = row([String(shard), String(before), String(after), `${held_ms} ms`]);
    lines.push(error === null ? line : `${line}  not compacted: ${error}`);
  }
  lines.push(...errors, `${Math.max(0, before_bytes - after_bytes)} bytes given back`);
  return `${lines.join("\n")}\n`;
}

function complain(what: string): void {
  process.stderr.write(`hikyaku spool-compact: ${what}\n`);
}
