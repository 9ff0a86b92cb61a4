import { lookup } from "node:dns/promises";
import { availableParallelism } from "node:os";
import { createInterface } from "node:readline";
import { type Command, InvalidArgumentError, Option } from "commander";
import { NetworkSet } from "../base/cidr.js";
import { Fault, messageOf } from "../base/fault.js";
import type { ListenAddress } from "../config/compiled.js";
import { isAddress, isHostName } from "../config/text-kinds.js";
import { MOST_DOMAINS, zipfDomains } from "../load/domains.js";
import { DKIM_SIZED_HEADER, sizeRefusal } from "../load/mail.js";
import { DEFAULT_LOAD, type DomainShare, type LoadOptions, type LoadTls, type SizeShare } from "../load/options.js";
import { type LoadResult, resultJson, resultText } from "../load/result.js";
import { type RunningLoad, startLoad } from "../load/run.js";
import {
  durationArgument,
  optionWithDefault,
  rateArgument,
  sizesArgument,
  targetArgument,
  wholeArgument,
  zipfArgument,
} from "./arguments.js";
import { reportFaults } from "./command-fault.js";
import { EX_UNREACHABLE } from "./config-argument.js";
import { writeReadyFile } from "./ready-file.js";

const SECOND_MS = 1000;
const THIS_MACHINE = new NetworkSet(["127.0.0.0/8", "::1"]);
const DEFAULT_DURATION_MS = 60_000;
const DEFAULT_TARGET: ListenAddress = { host: "127.0.0.1", port: 2025 };

interface GenerateFlags {
  readonly target: ListenAddress;
  readonly concurrency: number;
  readonly warmup: number;
  readonly hold?: boolean;
  readonly count?: number;
  readonly duration?: number;
  readonly rate?: number;
  readonly size: readonly SizeShare[];
  readonly domain?: readonly DomainShare[];
  readonly domains?: number;
  readonly zipf?: number;
  readonly header?: readonly string[];
  readonly dkimSizedHeader?: boolean;
  readonly pipelining: boolean;
  readonly tls: LoadTls["mode"];
  readonly tlsVerify?: boolean;
  readonly tlsName?: string;
  readonly messagesPerConnection?: number;
  readonly helo: string;
  readonly from: string;
  readonly timeout: number;
  readonly giveUp: number;
  readonly seed: number;
  readonly times?: string;
  readonly readyFile?: string;
  readonly json?: boolean;
}

/** Adds `hikyaku generate` to the command line. */
export function addGenerateCommand(program: Command): void {
  program
    .command("generate")
    .description("send generated mail to a server over SMTP, as fast as it takes it or at a rate, and measure")
    .addOption(
      optionWithDefault("--target <ADDR>", "the server, HOST:PORT", targetArgument, DEFAULT_TARGET, "127.0.0.1:2025"),
    )
    .option("--concurrency <N>", "connections", wholeArgument(1, 100_000), availableParallelism() * 10)
    .option("--warmup <N>", "messages sent before counting begins", wholeArgument(0, 1_000_000_000), 0)
    .option("--hold", "after the warm-up, wait for a line on standard input before counting begins")
    .option("--count <N>", "messages to send, exactly", wholeArgument(1, Number.MAX_SAFE_INTEGER))
    .option("--duration <TIME>", "send for so long (30s, 5m); 60s when there is no count", durationArgument(SECOND_MS))
    .option("--rate <N>", "messages per second over all connections", rateArgument)
    .addOption(
      optionWithDefault(
        "--size <SIZE>",
        'whole message: 1k, 10KiB, 2000, or "mixed"',
        sizesArgument,
        DEFAULT_LOAD.sizes,
        "1KiB",
      ),
    )
    .option("--domain <NAME[:WEIGHT]>", "domain of recipients, repeatable (default: example.com)", domainArgument)
    .option("--domains <N>", "that many domains, d1.example and so on, instead", wholeArgument(1, MOST_DOMAINS))
    .option("--zipf <S>", "their weights are 1 / rank^S (default: 0, all alike)", zipfArgument)
    .option("--header <LINE>", 'further header, "Name: value", repeatable', headerArgument)
    .option("--dkim-sized-header", "a header with the size of an RSA-2048 signature; it verifies nowhere")
    .option("--no-pipelining", "one command at a time, even where the server offers more")
    .addOption(
      new Option("--tls <MODE>", "STARTTLS: never, where it is offered, or nothing without it")
        .choices(["off", "opportunistic", "required"])
        .default("off"),
    )
    .option("--tls-verify", "the server's certificate must be good (default: unless the server is on this machine)")
    .option("--no-tls-verify", "whatever the certificate says")
    .option("--tls-name <NAME>", "the server's name in its certificate (default: that of --target)")
    .option("--messages-per-connection <N>", "open a new connection after so many", wholeArgument(1, 1_000_000_000))
    .option("--helo <NAME>", "name given with EHLO", DEFAULT_LOAD.helo)
    .option("--from <ADDRESS>", "return path", fromArgument, DEFAULT_LOAD.sender)
    .addOption(
      optionWithDefault(
        "--timeout <TIME>",
        "longest wait for a reply",
        durationArgument(SECOND_MS),
        DEFAULT_LOAD.timeoutMs,
        "60s",
      ),
    )
    .addOption(
      optionWithDefault(
        "--give-up <TIME>",
        "end when no connection could be made for so long",
        durationArgument(SECOND_MS),
        DEFAULT_LOAD.giveUpMs,
        "5s",
      ),
    )
    .option("--seed <N>", "where chance begins: recipients and sizes", wholeArgument(0, 0xffff_ffff), DEFAULT_LOAD.seed)
    .option("--times <FILE>", "number the recipients, and write there when each message was accepted")
    .option("--ready-file <FILE>", "write pid and counts there as JSON once the warm-up is over")
    .option("--json", "print the result as JSON")
    .addHelpText("after", SIZES_HELP)
    .action((flags: GenerateFlags, command: Command) => reportFaults("generate", () => runGenerate(flags, command)));
}

const SIZES_HELP = `
Sizes count the whole message, headers included; k is 1024. "mixed" is made like newsletters and receipts: 2 KiB 20 %,
5 KiB 20 %, 10 KiB 25 %, 25 KiB 20 %, 50 KiB 10 %, 100 KiB 4 %, 500 KiB 1 %. A connection that is lost, answered 421 or
451 4.5.3, or left without an answer is opened again and its message sent again; that counts neither way. When none
can be opened for the time of --give-up, the run ends.
Exit status: 0 when all was accepted, 1 when something was refused or the run ended early, 3 when the server cannot be
reached.`;

function domainArgument(text: string, before: readonly DomainShare[] = []): readonly DomainShare[] {
  const [name = "", weight = "1", ...more] = text.split(":");
  if (!isHostName(name) || more.length > 0)
    throw new InvalidArgumentError("Expected a domain, as example.com or a.example:3.");
  return [...before, { name: name.toLowerCase(), weight: wholeArgument(1, 1_000_000)(weight) }];
}

function headerArgument(text: string, before: readonly string[] = []): readonly string[] {
  if (!/^[!-9;-~]+: ?[ -~]{0,900}$/.test(text))
    throw new InvalidArgumentError('Expected "Name: value" in ASCII on one line.');
  return [...before, text];
}

function fromArgument(text: string): string {
  if (!/^[!-;=?-~]{1,250}$/.test(text) && text !== "") throw new InvalidArgumentError("Expected an address.");
  return text;
}

async function addressOf(host: string): Promise<string> {
  if (isAddress(host)) return host;
  try {
    return (await lookup(host)).address;
  } catch (error) {
    throw new Fault("socket.failed", `${host}: ${messageOf(error)}`, { cause: error });
  }
}

async function runGenerate(flags: GenerateFlags, command: Command): Promise<void> {
  const conflict = conflictOf(flags);
  if (conflict !== null) command.error(`error: ${conflict}`, { code: "commander.invalidArgument" });
  let target: ListenAddress;
  try {
    target = { host: await addressOf(flags.target.host), port: flags.target.port };
  } catch (error) {
    process.stderr.write(`hikyaku generate: ${messageOf(error)}\n`);
    process.exitCode = EX_UNREACHABLE;
    return;
  }
  const run = startLoad(loadOf(flags, target));
  const progress = process.stderr.isTTY ? setInterval(showProgress(run), SECOND_MS) : undefined;
  // The first Ctrl-C lets what is under way come to its end; the second one is the system's.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => run.stop());
  const warm = await run.warm;
  try {
    if (flags.readyFile !== undefined)
      writeReadyFile(flags.readyFile, { accepted: warm.accepted, failed: warm.failed });
  } catch (error) {
    // Held connections would keep the process for whoever waits for the file, for ever.
    clearInterval(progress);
    run.stop();
    run.go();
    await run.done;
    throw error;
  }
  if (flags.hold) {
    await Promise.race([lineOfInput(), run.done]);
    run.go();
  }
  const result = await run.done;
  if (progress !== undefined) process.stderr.write("\n");
  clearInterval(progress);
  process.exitCode = exitCode(result);
  if (process.exitCode === EX_UNREACHABLE) {
    process.stderr.write(`hikyaku generate: nothing was sent: ${result.error}\n`);
    if (!flags.json) return;
  }
  process.stdout.write(flags.json ? `${JSON.stringify(resultJson(result))}\n` : resultText(result));
}

/** Why flags do not go together; null when they do. */
function conflictOf(flags: GenerateFlags): string | null {
  if (flags.domain !== undefined && flags.domains !== undefined) return "--domain and --domains exclude each other";
  if (flags.count !== undefined && flags.duration !== undefined) return "--count and --duration exclude each other";
  if (flags.zipf !== undefined && (flags.domains ?? 1) === 1) return "--zipf does nothing without --domains, 2 or more";
  if (flags.tls === "off" && (flags.tlsVerify !== undefined || flags.tlsName !== undefined))
    return "--tls-verify and --tls-name do nothing without --tls opportunistic or required";
  return sizeRefusal(loadOf(flags, flags.target));
}

function loadOf(flags: GenerateFlags, target: ListenAddress): LoadOptions {
  const endless = flags.count === undefined && flags.duration === undefined;
  const many = flags.domains === undefined ? DEFAULT_LOAD.domains : zipfDomains(flags.domains, flags.zipf ?? 0);
  return {
    target,
    concurrency: flags.concurrency,
    warmup: flags.warmup,
    hold: flags.hold ?? false,
    count: flags.count ?? null,
    durationMs: flags.duration ?? (endless ? DEFAULT_DURATION_MS : null),
    ratePerSecond: flags.rate ?? null,
    sizes: flags.size,
    domains: flags.domain ?? many,
    pipelining: flags.pipelining,
    tls: {
      mode: flags.tls,
      verify: flags.tlsVerify ?? !(isAddress(target.host) && THIS_MACHINE.has(target.host)),
      name: flags.tlsName ?? flags.target.host,
    },
    messagesPerConnection: flags.messagesPerConnection ?? null,
    headers: [...(flags.header ?? []), ...(flags.dkimSizedHeader ? [DKIM_SIZED_HEADER] : [])],
    times: flags.times ?? null,
    helo: flags.helo,
    sender: flags.from,
    timeoutMs: flags.timeout,
    giveUpMs: flags.giveUp,
    seed: flags.seed,
  };
}

/** Resolves with the first line, or the end, of standard input, and then reads no more of it. */
async function lineOfInput(): Promise<void> {
  const lines = createInterface({ input: process.stdin });
  await new Promise<void>((resolve) => {
    lines.once("line", () => resolve());
    lines.once("close", () => resolve());
  });
  lines.close();
  process.stdin.destroy();
}

function exitCode(result: LoadResult): number {
  if (result.error !== null && result.accepted + result.failed === 0) return EX_UNREACHABLE;
  return result.error !== null || result.failed > 0 ? 1 : 0;
}

function showProgress(run: RunningLoad): () => void {
  let before = run.progress();
  return () => {
    const now = run.progress();
    // Counting began: everything starts at zero again.
    if (now.seconds < before.seconds) before = { accepted: 0, failed: 0, seconds: 0 };
    const rate = (now.accepted - before.accepted) / (now.seconds - before.seconds);
    process.stderr.write(`\r${now.accepted} accepted, ${now.failed} refused, ${rate.toFixed(0)} msgs/s   `);
    before = now;
  };
}
