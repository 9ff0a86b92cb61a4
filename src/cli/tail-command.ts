import type { Command } from "commander";
import { RECORD_KINDS, type RecordKind } from "../protocol/records.js";
import { recordKindArgument } from "./arguments.js";
import { reportFaults } from "./command-fault.js";
import { configPath, EX_CONFIG, loadOrExplain, loadWithoutSecrets } from "./config-argument.js";
import { pollEvery } from "./log-follow.js";
import { tailLog } from "./tail.js";

const POLL_MS = 200;

interface TailFlags {
  readonly config?: string;
  readonly dir?: string;
  readonly type?: readonly RecordKind[];
  readonly domain?: string;
  readonly all?: boolean;
  readonly follow: boolean;
  readonly json?: boolean;
}

/** Adds `hikyaku tail` to the command line. */
export function addTailCommand(program: Command): void {
  program
    .command("tail")
    .description("follow the event log, over rotations")
    .option("--config <FILE>", "the server's configuration, which says where the log is")
    .option("--dir <DIR>", "the log's directory, instead of the configuration's")
    .option("--type <TYPE...>", `only records of these types: ${RECORD_KINDS.join(", ")}`, recordKindArgument)
    .option("--domain <DOMAIN>", "only records of this recipient domain")
    .option("--all", "begin with everything that is there, instead of what comes from now on")
    .option("--no-follow", "end when everything that is there was shown")
    .option("--json", "the records as they are")
    .action((flags: TailFlags) =>
      reportFaults("tail", async () => {
        process.exitCode = await tail(flags);
      }),
    );
}

async function tail(flags: TailFlags): Promise<number> {
  let dir = flags.dir;
  if (dir === undefined) {
    const loaded = await loadOrExplain(configPath(flags.config), loadWithoutSecrets);
    if (loaded === null) return EX_CONFIG;
    dir = loaded.config.log.dir;
  }
  const ended = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => ended.abort());
  // Whoever reads our output may have seen enough.
  process.stdout.on("error", () => ended.abort());
  await tailLog({
    dir,
    fromBeginning: flags.all === true || !flags.follow,
    live: flags.follow,
    wait: pollEvery(POLL_MS, ended.signal),
    filter: { types: flags.type ?? [], domain: flags.domain ?? null },
    json: flags.json === true,
    print: (line) => process.stdout.write(`${line}\n`),
  });
  return 0;
}
