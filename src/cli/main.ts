/** The `hikyaku` command: exit 0 good, 1 the thing asked about is bad, 2 wrong usage, 3 unreachable server, 78 wrong configuration. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Command, CommanderError } from "commander";
import { errnoOf, messageOf } from "../base/fault.js";
import { addBenchCommand } from "./bench.js";
import { addCheckCommand } from "./check.js";
import { EX_USAGE } from "./config-argument.js";
import { addGenerateCommand } from "./generate.js";
import { addInspectReadyQueueCommand } from "./inspect-ready-q.js";
import { addProxyCommand } from "./proxy.js";
import { addReloadCommand } from "./reload.js";
import { addSinkCommand } from "./sink.js";
import { addSpoolCompactCommand } from "./spool-compact.js";
import { addStartCommand } from "./start.js";
import { addStopCommand } from "./stop.js";
import { addTailCommand } from "./tail-command.js";

function version(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, "package.json")) && folder !== dirname(folder)) folder = dirname(folder);
  const manifest: unknown = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  if (typeof manifest === "object" && manifest !== null && "version" in manifest) return String(manifest.version);
  return "unknown";
}

/**
 * Output that cannot be written. Whoever read it may have seen enough (`--help | head`), and a server does not die of its
 * terminal; anything else is worth a line and exit status 1.
 */
function surviveOutput(): void {
  process.stderr.on("error", () => {});
  process.stdout.on("error", (error: Error) => {
    if (errnoOf(error) === "EPIPE") return;
    process.stderr.write(`hikyaku: the output cannot be written: ${messageOf(error)}\n`);
    process.exitCode = 1;
  });
}

async function main(): Promise<void> {
  surviveOutput();
  const program = new Command("hikyaku");
  program.description("a mail transfer agent for people who send a lot of mail").version(version());
  addStartCommand(program, version());
  addCheckCommand(program);
  addReloadCommand(program);
  addStopCommand(program);
  addSpoolCompactCommand(program);
  addInspectReadyQueueCommand(program);
  addTailCommand(program);
  addSinkCommand(program);
  addProxyCommand(program);
  addGenerateCommand(program);
  addBenchCommand(program, version());
  for (const command of [program, ...program.commands]) {
    const name = command === program ? "hikyaku" : `hikyaku ${command.name()}`;
    command.exitOverride().showHelpAfterError(`(see ${name} --help)`);
  }
  try {
    await program.parseAsync(process.argv);
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : EX_USAGE;
      return;
    }
    process.stderr.write(`hikyaku: ${messageOf(error)}\n`);
    if (error instanceof Error && error.stack !== undefined) process.stderr.write(`${error.stack}\n`);
    process.exitCode = 1;
  }
}

await main();
