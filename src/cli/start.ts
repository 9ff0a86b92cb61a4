import { relative } from "node:path";
import type { Command } from "commander";
import { faultsFile, tellFaultComplaints } from "../base/failpoints.js";
import { Fault, messageOf } from "../base/fault.js";
import type { CompiledConfig, ListenAddress } from "../config/compiled.js";
import { formatSocketAddress } from "../config/text-kinds.js";
import type { ServerReady } from "../server/events.js";
import { Server } from "../server.js";
import { digestOf } from "../threads/config-reading.js";
import { configPath, EX_CONFIG, loadOrExplain } from "./config-argument.js";
import { pollEvery } from "./log-follow.js";
import { writeReadyFile } from "./ready-file.js";
import { ignoreDebuggerSignal, stopOnSignals } from "./signals.js";
import { tailLog } from "./tail.js";

/** Event lines shown per second at most; a terminal is not for thousands. */
const LINES_PER_SECOND = 20;
const POLL_MS = 100;

interface StartFlags {
  readonly config?: string;
  readonly readyFile?: string;
  readonly events?: boolean;
}

/** Adds `hikyaku start` to the command line. */
export function addStartCommand(program: Command, version: string): void {
  program
    .command("start")
    .description("run the server in the foreground")
    .option("--config <FILE>", "the configuration (default: HIKYAKU_CONFIG, ./hikyaku.toml, /etc/hikyaku/hikyaku.toml)")
    .option("--ready-file <FILE>", "write pid and ports there as JSON once everything listens")
    .option("--events", "show events on the terminal (default in sandbox mode)")
    .option("--no-events", "show no events")
    .action(async (flags: StartFlags) => {
      // At once: the slow end of a process without work lets signals kill it, which would look like a failure.
      process.exit(await start(flags, version));
    });
}

async function start(flags: StartFlags, version: string): Promise<number> {
  ignoreDebuggerSignal(notice);
  const path = configPath(flags.config);
  const readMs = Date.now();
  const loaded = await loadOrExplain(path);
  if (loaded === null) return EX_CONFIG;
  const { config } = loaded;
  // A store that fails rejects promises that nobody holds; the shard has heard of it and refuses mail.
  process.on("unhandledRejection", (reason) => notice(`unexpected: ${messageOf(reason)}`));
  const faults = faultsFile();
  if (faults !== null) {
    notice(`FAILURES ARE ORDERED by ${faults} (HIKYAKU_FAULTS); for tests and rehearsals`);
    tellFaultComplaints(notice);
  }
  const serve = stopOnSignals(notice);
  let server: Server;
  try {
    server = await Server.start(config, { notice, panic });
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    process.stderr.write(`hikyaku: ${error.message}\n`);
    return error.code.startsWith("config.") ? EX_CONFIG : 1;
  }
  const ended = new AbortController();
  if (serve(server)) {
    server.live.watch(path, loaded, digestOf(loaded), readMs);
    process.stdout.write(banner(version, config, server.ready));
    if (flags.readyFile !== undefined && !(await announce(flags.readyFile, server))) return 1;
    if (flags.events ?? config.delivery.mode === "sandbox") showEvents(config.log.dir, ended.signal);
  }
  await server.stopped;
  ended.abort();
  process.stdout.write("stopped\n");
  return 0;
}

/** Writes the ready file. When that fails whoever waits for it would wait for ever: the server is stopped, and false. */
async function announce(path: string, server: Server): Promise<boolean> {
  try {
    const { smtp, http, sink, workers } = server.ready;
    writeReadyFile(path, { smtp, http, sink, workers });
    return true;
  } catch (error) {
    notice(messageOf(error));
    await server.stop();
    return false;
  }
}

function notice(line: string): void {
  process.stderr.write(`hikyaku: ${line}\n`);
}

/** A bug of ours: what is durable is safe, whoever supervises this process starts it again. */
function panic(error: unknown): void {
  process.stderr.write(
    `hikyaku: internal error, exiting: ${error instanceof Error ? error.stack : messageOf(error)}\n`,
  );
  process.exit(70);
}

function banner(version: string, config: CompiledConfig, ready: ServerReady): string {
  const sandbox = config.delivery.mode === "sandbox";
  const promise = {
    flushed: "on disk",
    committed: "in the page cache",
    deferred: "in memory until its first attempt fails",
  }[config.spool.durability];
  const native = ready.addonRefusal === null ? "native addon" : `without the native addon: ${ready.addonRefusal}`;
  const list = (addresses: readonly ListenAddress[]): string => addresses.map(formatSocketAddress).join(", ") || "none";
  const lines = [
    `Hikyaku ${version} · ${sandbox ? "sandbox: everything goes to the built-in sink, nothing leaves this machine" : "live"}`,
    `  SMTP     ${list(ready.smtp)}`,
    `  HTTP     ${list(ready.http)}`,
    `  spool    ${relative(process.cwd(), config.spool.path) || "."} · ${ready.durability}: 250 means that a message is ${promise}`,
    `  log      ${relative(process.cwd(), config.log.dir) || "."}`,
    `  workers  ${ready.workers} · ${native}`,
  ];
  const smtp = ready.smtp[0];
  if (sandbox && smtp !== undefined) {
    lines.push(
      "",
      "Send a first message:",
      `  printf 'Subject: hello\\n\\nFirst message\\n' | curl -sS --crlf smtp://${formatSocketAddress(smtp)}/sender.example ` +
        "--mail-from you@example.org --mail-rcpt friend@example.com -T -",
    );
  }
  return `${lines.join("\n")}\n\n`;
}

/** Shows the event log as it grows, a bounded number of lines per second. */
function showEvents(dir: string, signal: AbortSignal): void {
  let second = 0;
  let shown = 0;
  let hidden = 0;
  const print = (line: string): void => {
    const now = Math.floor(performance.now() / 1000);
    if (now !== second) {
      if (hidden > 0) process.stdout.write(`… and ${hidden} more; \`hikyaku tail\` shows all\n`);
      second = now;
      shown = 0;
      hidden = 0;
    }
    if (shown++ < LINES_PER_SECOND) process.stdout.write(`${line}\n`);
    else hidden++;
  };
  const filter = { types: [], domain: null };
  tailLog({
    dir,
    fromBeginning: false,
    live: true,
    wait: pollEvery(POLL_MS, signal),
    filter,
    json: false,
    print,
  }).catch((error: unknown) => notice(`events are no longer shown: ${messageOf(error)}`));
}
