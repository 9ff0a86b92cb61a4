/**
 * Postfix's own load programs, `smtp-source` into `smtp-sink`, with nothing between them: what this machine can do with
 * somebody else's source and sink.
 *
 * Runs on   the `bench` command's main thread, which only waits meanwhile
 * Owns      two processes
 * When full nothing here fills up
 * On failure both are stopped; a fault says which one failed and what it printed
 */
import { mkdirSync } from "node:fs";
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "../../base/fault.js";
import { sizesOf } from "../sizes.js";
import { Child } from "./child.js";
import type { BaselineFigures, RunAmount, RunSettings } from "./figures.js";
import type { Watching } from "./watch.js";

/** Debian has both where only root looks. */
const PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
const HOST = "127.0.0.1";
const BACKLOG = "1024";
const POLL_MS = 20;
const START_MS = 10_000;

/** Why these settings cannot be measured with Postfix's programs; null when they can. */
export function smtpPeersRefuse(settings: Pick<RunSettings, "size">, amount: Pick<RunAmount, "count">): string | null {
  if (amount.count === null) return "the baseline smtp needs --count: smtp-source knows no duration";
  return (sizesOf(settings.size)?.length ?? 0) > 1
    ? "the baseline smtp needs one --size: smtp-source has no mix"
    : null;
}

/**
 * Runs `smtp-source` into `smtp-sink`. Their CPU is not measured: they are gone before it could be read.
 * @throws {Fault} `worker.lost` when one is not installed or fails.
 */
export async function measureSmtpPeers(
  context: Watching,
  directory: string,
  settings: RunSettings,
  amount: RunAmount,
): Promise<BaselineFigures> {
  const count = amount.count ?? 0;
  mkdirSync(directory, { recursive: true });
  const port = await freePort();
  // Run by root, smtp-sink wants to become somebody else.
  const user = process.getuid?.() === 0 ? ["-u", "nobody"] : [];
  const sink = program("smtp-sink", directory, [...user, "-m", "1000", `${HOST}:${port}`, BACKLOG]);
  let source: Child | null = null;
  const stopped = () => void source?.stop();
  try {
    await listening(sink, port, context.signal);
    const bytes = sizesOf(settings.size)?.[0]?.bytes ?? 0;
    const load = ["-s", String(settings.connections), "-l", String(bytes), "-m", String(count)];
    const reuse = settings.messagesPerConnection === 1 ? [] : ["-d"];
    const addresses = ["-f", "load@source.invalid", "-t", "load@example.com"];
    context.signal.addEventListener("abort", stopped, { once: true });
    const beganMs = performance.now();
    source = program("smtp-source", directory, [...reuse, ...load, ...addresses, `${HOST}:${port}`]);
    const status = await source.end();
    const seconds = (performance.now() - beganMs) / 1000;
    context.signal.throwIfAborted();
    if (status !== 0) throw new Fault("worker.lost", `smtp-source failed: ${source.output().trim() || "not found"}`);
    return { messagesPerSecond: Math.round((count / seconds) * 10) / 10, cpuUsPerMessage: null };
  } finally {
    context.signal.removeEventListener("abort", stopped);
    await source?.stop();
    await sink.stop();
  }
}

function program(name: string, directory: string, args: readonly string[]): Child {
  return new Child(name, { file: "env", args: [`PATH=${PATH}`, name] }, args, directory);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, HOST, () => resolve());
  });
  const bound = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (bound === null || typeof bound === "string") throw new Fault("listen.failed", "no free port");
  return bound.port;
}

async function listening(sink: Child, port: number, signal: AbortSignal): Promise<void> {
  for (let waitedMs = 0; waitedMs < START_MS; waitedMs += POLL_MS) {
    sink.check();
    if (await answers(port)) return;
    await sleep(POLL_MS, undefined, { signal });
  }
  throw new Fault("worker.lost", `smtp-sink does not listen: ${sink.output().trim()}`);
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: HOST, port });
    const end = (found: boolean) => {
      socket.destroy();
      resolve(found);
    };
    socket.once("connect", () => end(true)).once("error", () => end(false));
  });
}
