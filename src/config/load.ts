import { createHash } from "node:crypto";
import { closeSync, existsSync, fstatSync, openSync, readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { causeOf, errnoOf, Fault, messageOf } from "../base/fault.js";
import { Check, isTable } from "./check.js";
import { compile } from "./compile.js";
import type { CompiledConfig, ShapingRules } from "./compiled.js";
import { parseDocument, readBounded } from "./document.js";
import type { LineMap } from "./line-map.js";
import { readNodeId } from "./node-id.js";
import { formatProblems, inFileOrder, type Problem, Problems, quote } from "./problems.js";
import type { WrittenValues } from "./restart.js";
import { NO_VAULT, type SecretSource } from "./secret-source.js";
import { rootTable, type WrittenConfig } from "./settings.js";
import { ShapingFiles } from "./shaping-files.js";

/** What a load gave. */
export interface LoadedConfig {
  /** `node.nodeId` is "" when none is written and none is kept yet: `withNodeId` makes it. */
  readonly config: CompiledConfig;
  /** What the operator should know, bounded. */
  readonly warnings: readonly Problem[];
  /** Every file that took part, absolute: a change of one of them asks for a reload. */
  readonly files: readonly string[];
  /** The server's file as written: what is compared to tell what a restart is needed for. */
  readonly written: WrittenValues;
}

/** A configuration that cannot be used; the message has one line per problem. */
export class ConfigFault extends Fault {
  /** Errors in the order of the file, then warnings; empty for `config.unreadable`. */
  readonly problems: readonly Problem[];

  constructor(
    code: "config.unreadable" | "config.invalid",
    message: string,
    problems: readonly Problem[],
    options: { errno?: string | null; cause?: unknown } = {},
  ) {
    super(code, message, options);
    this.problems = problems;
  }
}

/**
 * Reads, checks and compiles the server's file and the files that it names. Relative paths in a file start at its
 * directory. Nothing is written.
 * @param path as the user named it; problems are reported under this name.
 * @param secrets what is known of secrets in Vault; `loadWithSecrets` asks for them.
 * @throws {ConfigFault} `config.unreadable` when the file cannot be read, `config.invalid` with all its problems.
 */
export function loadConfig(
  path: string,
  env: NodeJS.ProcessEnv = process.env,
  secrets: SecretSource = NO_VAULT,
): LoadedConfig {
  const problems = new Problems();
  const files = [resolve(path)];
  const checkOf: CheckOf = (file, directory, lines) => new Check(file, directory, lines, problems, env, secrets);
  const written = readServerFile(path, checkOf, problems);
  if (written === undefined) throw invalid(problems);
  const shaping = readShapingFiles(written.config.shapingFiles, written.check, files, problems, checkOf);
  const compiled = compile(written.config, shaping.rules(), written.check, (dataDir) =>
    nodeIdOf(dataDir, written.check),
  );
  for (const { value, at, check } of shaping.namedSources) {
    if (!Object.hasOwn(compiled.sources, value)) check.unknownName(at, "source", value, Object.keys(compiled.sources));
  }
  const { hostsFile } = compiled.dns;
  let hostsFileDigest: string | null = null;
  if (hostsFile !== null) {
    files.push(hostsFile);
    const { errno, digest } = contentOf(hostsFile);
    hostsFileDigest = digest;
    if (errno !== null)
      written.check.error(["dns", "hosts_file"], `file ${quote(hostsFile)} cannot be read (${errno})`);
  }
  if (problems.errors.length > 0) throw invalid(problems);
  const config = { ...compiled, dns: { ...compiled.dns, hostsFileDigest } };
  return { config, warnings: inFileOrder(problems.warnings), files, written: written.values };
}

/** A file that is larger is told apart by its size and time alone; whoever parses it refuses it. */
const MAX_DIGESTED_BYTES = 16 * 1024 * 1024;

/** Tells what a file holds from other contents; `errno` is why the system would not let us read it, or null. */
function contentOf(path: string): { readonly errno: string | null; readonly digest: string | null } {
  try {
    const file = openSync(path, "r");
    try {
      const { size, mtimeMs } = fstatSync(file);
      const what = size > MAX_DIGESTED_BYTES ? `${size} ${mtimeMs}` : readFileSync(file);
      return { errno: null, digest: createHash("sha256").update(what).digest("base64") };
    } finally {
      closeSync(file);
    }
  } catch (error) {
    return { errno: errnoOf(error) ?? "unknown error", digest: null };
  }
}

/** The configuration file to use: `--config FILE`, `HIKYAKU_CONFIG`, `./hikyaku.toml`, `/etc/hikyaku/hikyaku.toml`. */
export function findConfig(argv: readonly string[], env: NodeJS.ProcessEnv): string {
  const at = argv.findIndex((argument) => argument === "--config" || argument.startsWith("--config="));
  const argument = at < 0 ? undefined : argv[at];
  const written = argument === "--config" ? argv[at + 1] : argument?.slice("--config=".length);
  if (written !== undefined && written !== "") return written;
  const fromEnvironment = env["HIKYAKU_CONFIG"];
  if (fromEnvironment !== undefined && fromEnvironment !== "") return fromEnvironment;
  return existsSync("./hikyaku.toml") ? "./hikyaku.toml" : "/etc/hikyaku/hikyaku.toml";
}

/** Makes the place of checking for one file of a reading. */
type CheckOf = (file: string, directory: string, lines: LineMap) => Check;

interface ServerFile {
  readonly config: WrittenConfig;
  readonly check: Check;
  readonly values: WrittenValues;
}

function readServerFile(path: string, checkOf: CheckOf, problems: Problems): ServerFile | undefined {
  let bytes: Buffer;
  try {
    bytes = readBounded(path);
  } catch (error) {
    const errno = errnoOf(error);
    throw new ConfigFault("config.unreadable", `${path}: ${causeOf(error)}`, [], { errno, cause: error });
  }
  const document = parseDocument(path, bytes, problems);
  if (document === undefined) return undefined;
  const check = checkOf(path, dirname(resolve(path)), document.lines);
  const config = rootTable.read(document.values, [], check);
  // What is no table has been reported.
  const values = isTable(document.values) ? document.values : {};
  return config === undefined ? undefined : { config, check, values };
}

function readShapingFiles(
  names: readonly string[],
  server: Check,
  files: string[],
  problems: Problems,
  checkOf: CheckOf,
): ShapingFiles {
  const shaping = new ShapingFiles();
  for (const [index, name] of names.entries()) {
    const path = resolve(server.directory, name);
    files.push(path);
    let bytes: Buffer;
    try {
      bytes = readBounded(path);
    } catch (error) {
      server.error(
        ["shaping", "files", index],
        `file ${quote(name)} cannot be read (${errnoOf(error) ?? "unknown error"})`,
      );
      continue;
    }
    const document = parseDocument(name, bytes, problems);
    if (document === undefined) continue;
    shaping.add(document.values, checkOf(name, dirname(path), document.lines));
  }
  return shaping;
}

function nodeIdOf(dataDir: string, check: Check): string {
  try {
    return readNodeId(dataDir);
  } catch (error) {
    check.error(["node", "data_dir"], messageOf(error));
    return "";
  }
}

function invalid(problems: Problems): ConfigFault {
  const errors = inFileOrder(problems.errors);
  const dropped = problems.errorsDropped === 0 ? "" : `\n... and ${problems.errorsDropped} more errors`;
  return new ConfigFault("config.invalid", formatProblems(errors) + dropped, [
    ...errors,
    ...inFileOrder(problems.warnings),
  ]);
}

/** The rules of shaping files alone, for a check without a server's file. Throws as {@link loadConfig}. */
export function loadShaping(
  paths: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): { readonly rules: ShapingRules; readonly warnings: readonly Problem[] } {
  const problems = new Problems();
  const shaping = new ShapingFiles();
  for (const path of paths) {
    let bytes: Buffer;
    try {
      bytes = readBounded(path);
    } catch (error) {
      throw new ConfigFault("config.unreadable", `${path}: ${causeOf(error)}`, [], {
        errno: errnoOf(error),
        cause: error,
      });
    }
    const document = parseDocument(path, bytes, problems);
    if (document === undefined) continue;
    shaping.add(document.values, new Check(path, dirname(resolve(path)), document.lines, problems, env));
  }
  if (problems.errors.length > 0) throw invalid(problems);
  return { rules: shaping.rules(), warnings: inFileOrder(problems.warnings) };
}
