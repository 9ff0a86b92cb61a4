import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError } from "commander";
import { parseNetwork } from "../base/cidr.js";
import { errnoOf, Fault } from "../base/fault.js";
import { Undo } from "../base/undo.js";
import type { ListenAddress } from "../config/compiled.js";
import { formatSocketAddress } from "../config/text-kinds.js";
import type { AuthRule } from "../handshake/socks-server.js";
import type { ProxyStatus } from "../proxy/counters.js";
import type { ProxyOptions, ProxyTls } from "../proxy/options.js";
import { startProxy } from "../proxy/proxy.js";
import { serveStatus } from "../proxy/status-server.js";
import { durationArgument, listenArgument, optionWithDefault, wholeArgument } from "./arguments.js";
import { reportFaults } from "./command-fault.js";
import { writeReadyFile } from "./ready-file.js";
import { ignoreDebuggerSignal } from "./signals.js";

interface ProxyFlags {
  readonly listen: ListenAddress;
  readonly http?: ListenAddress;
  readonly allowClient?: readonly string[];
  readonly allowSource?: readonly string[];
  readonly allowDestination?: readonly string[];
  readonly allowPort?: readonly number[];
  readonly users?: string;
  readonly requireAuth?: boolean;
  readonly tlsCertificate?: string;
  readonly tlsKey?: string;
  readonly maxConnections: number;
  readonly maxPerClient: number;
  readonly timeout: number;
  readonly drain: number;
  readonly readyFile?: string;
  readonly json?: boolean;
}

const LOOPBACK = ["127.0.0.0/8", "::1"];

/** Adds `hikyaku proxy` to the command line. */
export function addProxyCommand(program: Command): void {
  const seconds = durationArgument(1000);
  program
    .command("proxy")
    .description("connect for mail servers elsewhere, from the addresses of this machine (SOCKS 5)")
    .requiredOption("--listen <ADDR>", "where to listen; port 0 lets the system choose", listenArgument)
    .option("--allow-client <NET...>", "networks whose hosts may use it (default: this machine)", networkArgument)
    .option(
      "--allow-source <NET...>",
      "addresses that BIND may ask for (default: all of this machine)",
      networkArgument,
    )
    .option("--allow-destination <NET...>", "where may be connected to (default: everywhere)", networkArgument)
    .option("--allow-port <PORT...>", "ports that may be connected to (default: all)", portArgument)
    .option("--users <FILE>", "user names and passwords, one NAME:PASSWORD a line")
    .option("--require-auth", "serve nobody who has not shown a password")
    .option("--tls-certificate <FILE>", "have clients talk TLS, with this chain (PEM)")
    .option("--tls-key <FILE>", "key of the certificate (PEM)")
    .addOption(
      optionWithDefault("--max-connections <N>", "clients at a time", wholeArgument(1, 1_000_000), 10_000, "10000"),
    )
    .addOption(
      optionWithDefault("--max-per-client <N>", "of one address", wholeArgument(1, 1_000_000), 10_000, "10000"),
    )
    .addOption(optionWithDefault("--timeout <TIME>", "for each step of a handshake", seconds, 60_000, "60s"))
    .addOption(
      optionWithDefault("--drain <TIME>", "how long to wait for open relays at the end", seconds, 30_000, "30s"),
    )
    .option("--http <ADDR>", "serve /proxy/status, /metrics and /healthz/live there", listenArgument)
    .option("--ready-file <FILE>", "write pid and ports there as JSON once everything listens")
    .option("--json", "print JSON lines: where it listens, and the counters at the end")
    .action((flags: ProxyFlags, command: Command) => reportFaults("proxy", () => runProxy(flags, command)));
}

function networkArgument(text: string, before: readonly string[] = []): readonly string[] {
  if (parseNetwork(text) !== null) return [...before, text];
  throw new InvalidArgumentError("Expected an IP address or a network whose host bits are zero, as 192.0.2.0/24.");
}

function portArgument(text: string, before: readonly number[] = []): readonly number[] {
  return [...before, wholeArgument(1, 65_535)(text)];
}

function optionsOf(flags: ProxyFlags, command: Command): ProxyOptions {
  const wrong = (message: string): never => command.error(`error: ${message}`, { code: "commander.invalidArgument" });
  if (flags.requireAuth === true && flags.users === undefined) wrong("--require-auth needs --users");
  if ((flags.tlsCertificate === undefined) !== (flags.tlsKey === undefined)) {
    wrong("--tls-certificate and --tls-key go together");
  }
  const users = flags.users === undefined ? new Map<string, string>() : readUsers(flags.users);
  const auth: AuthRule = flags.requireAuth === true ? "required" : flags.users === undefined ? "none" : "optional";
  return {
    listen: flags.listen,
    tls: tlsOf(flags),
    auth,
    users,
    clients: flags.allowClient ?? LOOPBACK,
    sources: flags.allowSource ?? [],
    destinations: flags.allowDestination ?? [],
    ports: flags.allowPort ?? [],
    maxConnections: flags.maxConnections,
    maxPerClient: flags.maxPerClient,
    timeoutMs: flags.timeout,
  };
}

function tlsOf(flags: ProxyFlags): ProxyTls | null {
  if (flags.tlsCertificate === undefined || flags.tlsKey === undefined) return null;
  return { cert: readText(flags.tlsCertificate), key: readText(flags.tlsKey) };
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new Fault("config.unreadable", `${path} cannot be read (${errnoOf(error) ?? "unknown error"})`, {
      cause: error,
    });
  }
}

function readUsers(path: string): Map<string, string> {
  const users = new Map<string, string>();
  for (const [index, line] of readText(path).split(/\r?\n/).entries()) {
    if (line === "" || line.startsWith("#")) continue;
    const colon = line.indexOf(":");
    const sizes = [colon, Buffer.byteLength(line.slice(colon + 1))];
    if (sizes.some((size) => size < 1 || size > 255)) {
      throw new Fault("config.invalid", `${path}:${index + 1}: expected NAME:PASSWORD, each of 1 to 255 bytes`);
    }
    users.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return users;
}

async function runProxy(flags: ProxyFlags, command: Command): Promise<void> {
  ignoreDebuggerSignal((line) => process.stderr.write(`hikyaku proxy: ${line}\n`));
  const options = optionsOf(flags, command);
  const undo = new Undo();
  try {
    await serve(flags, options, undo);
  } finally {
    await undo.run();
  }
}

async function serve(flags: ProxyFlags, options: ProxyOptions, undo: Undo): Promise<void> {
  const proxy = await startProxy(options);
  undo.push(() => proxy.stop());
  const where = formatSocketAddress(proxy);
  const page = flags.http === undefined ? null : await serveStatus(flags.http.host, flags.http.port, where, proxy);
  if (page !== null) undo.push(() => page.stop());
  const socks = [{ host: proxy.host, port: proxy.port }];
  const http = page === null ? [] : [{ host: page.host, port: page.port }];
  if (flags.json) process.stdout.write(`${JSON.stringify({ pid: process.pid, socks, http })}\n`);
  else {
    const tls = options.tls === null ? "" : " with TLS";
    const counters = page === null ? "" : `, counters at http://${formatSocketAddress(page)}/proxy/status`;
    process.stdout.write(`hikyaku proxy: serves on ${where}${tls}${counters}\n`);
  }
  if (flags.readyFile !== undefined) writeReadyFile(flags.readyFile, { socks, http });
  await signalled();
  const again = signalled();
  await Promise.race([proxy.drain(flags.drain), again]);
  const status = proxy.status();
  await undo.run();
  process.stdout.write(flags.json ? `${JSON.stringify(status)}\n` : `${summary(status)}\n`);
}

/** Resolves at the next signal to end. */
function signalled(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
}

function summary(status: ProxyStatus): string {
  const failed = Object.entries(status.failed).map(([reason, count]) => `${reason}: ${count}`);
  return [
    `clients   ${status.accepted}`,
    `completed ${status.completed}`,
    `failed    ${failed.length === 0 ? "none" : failed.join(", ")}`,
    `bytes     ${status.bytesClientToDestination} there, ${status.bytesDestinationToClient} back`,
  ].join("\n");
}
