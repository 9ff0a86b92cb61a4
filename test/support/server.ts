import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as zlib from "node:zlib";
import { gunzipSync } from "node:zlib";
import { loadConfig } from "../../src/config/load.js";
import { Server } from "../../src/server.js";

/** A server in this process, with a directory of its own that `end` removes. */
export interface TestServer {
  readonly server: Server;
  readonly dir: string;
  readonly port: number;
  readonly notices: string[];
  /** Stops the server, keeps the directory. */
  stop(): Promise<void>;
}

/** Makes a directory for a server; removed by the test. */
export function makeDir(): string {
  return mkdtempSync(join(tmpdir(), "hikyaku-test-"));
}

export function removeDir(dir: string): void {
  rmSync(dir, { recursive: true, force: true });
}

/** What tests say of a configuration; the rest is as shipped. */
export interface TestConfig {
  readonly workers?: number;
  /** Where everything goes: `mx_list` of the only queue rule; null for the sandbox. */
  readonly to?: string | null;
  readonly durability?: string;
  /** Keys of `[[queue]]`, as TOML lines. */
  readonly queue?: string;
  /** Keys of `[spool]`. */
  readonly spool?: string;
  /** Keys of `[[smtp_listener]]`. */
  readonly listener?: string;
  /** Tables to append. */
  readonly more?: string;
  /** Content of shaping.toml. */
  readonly shaping?: string;
}

/** Writes a configuration into `dir` and returns its path. */
export function writeConfig(dir: string, options: TestConfig): string {
  const path = join(dir, "hikyaku.toml");
  const to = options.to ?? null;
  writeFileSync(join(dir, "shaping.toml"), options.shaping ?? "");
  writeFileSync(
    path,
    `
[node]
hostname = "mta.example.org"
data_dir = "./var"
[threads]
workers = ${options.workers ?? 1}
[delivery]
mode = "${to === null && options.queue === undefined ? "sandbox" : "live"}"
[spool]
durability = "${options.durability ?? "flushed"}"
min_free_space = "1%"
min_free_inodes = "1%"
${options.spool ?? ""}
[[smtp_listener]]
listen = "127.0.0.1:0"
${options.listener ?? ""}
[[http_listener]]
listen = "127.0.0.1:0"
[shaping]
files = ["shaping.toml"]
${to === null && options.queue === undefined ? "" : "[[queue]]\n"}${to === null ? "" : `protocol = { smtp = { mx_list = ["${to}"] } }`}
${options.queue ?? ""}
${options.more ?? ""}
`,
  );
  return path;
}

/** Starts a server with the configuration that {@link writeConfig} wrote. */
export async function startServer(dir: string): Promise<TestServer> {
  const notices: string[] = [];
  const { config } = loadConfig(join(dir, "hikyaku.toml"));
  const server = await Server.start(config, {
    notice: (line) => notices.push(line),
    panic: (error) => {
      throw error;
    },
  });
  const port = server.ready.smtp[0]?.port ?? 0;
  return { server, dir, port, notices, stop: () => server.stop() };
}

/** A record of the event log, as far as tests look at it. */
export interface LogRecord {
  readonly type: string;
  readonly seq: number;
  readonly id: string;
  readonly sender: string;
  readonly recipient: string;
  readonly queue: string;
  readonly site: string;
  readonly size: number;
  readonly num_attempts: number;
  readonly response: { readonly code: number; readonly content: string; readonly command: string | null };
  readonly [field: string]: unknown;
}

/** All records of a server's log so far, in the order of their numbers. */
export function readLog(dir: string): LogRecord[] {
  const log = join(dir, "var", "log");
  const names = readdirSync(log).filter((name) => /\.jsonl(\.gz|\.zst)?$/.test(name));
  const lines = names
    .sort()
    // While a finished segment is compressed both forms are there.
    .filter((name) => !names.some((plain) => name.startsWith(`${plain}.`)))
    .flatMap((name) => wholeLines(join(log, name)));
  return lines.map((line) => JSON.parse(line) as LogRecord).sort((a, b) => a.seq - b.seq);
}

/**
 * The lines of a segment. While it may still be written (it is made read-only when it is finished), what comes after the
 * last line end may be the half-seen line of a writer at work, and is left out.
 */
export function wholeLines(path: string): string[] {
  // Asked before reading: what is finished by then is read to its end.
  const live = (statSync(path).mode & 0o222) !== 0;
  const text = readSegment(path);
  const end = live && path.endsWith(".jsonl") ? text.lastIndexOf("\n") + 1 : text.length;
  return text
    .slice(0, end)
    .split("\n")
    .filter((line) => line !== "");
}

/** The text of a segment, compressed or not. */
export function readSegment(path: string): string {
  const bytes = readFileSync(path);
  if (path.endsWith(".gz")) return gunzipSync(bytes).toString();
  if (!path.endsWith(".zst")) return bytes.toString();
  if (!("zstdDecompressSync" in zlib) || typeof zlib.zstdDecompressSync !== "function") throw new Error("no zstd here");
  return String(zlib.zstdDecompressSync(bytes));
}

/** Waits until `done` holds, looking whenever the event loop has come round; fails after a minute. */
export async function until(done: () => boolean, what: string): Promise<void> {
  const limit = performance.now() + 60_000;
  while (!done()) {
    if (performance.now() > limit) throw new Error(`waited a minute for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** As {@link until}, of something that has to be asked for. */
export async function untilAsked(done: () => Promise<boolean>, what: string): Promise<void> {
  let is = await done();
  for (const limit = performance.now() + 60_000; !is; is = await done()) {
    if (performance.now() > limit) throw new Error(`waited a minute for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
