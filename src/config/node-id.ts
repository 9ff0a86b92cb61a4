import { randomUUID } from "node:crypto";
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { causeOf, errnoOf, Fault, messageOf } from "../base/fault.js";
import { makeDirectories } from "../base/make-directories.js";
import type { CompiledConfig } from "./compiled.js";
import { isUuid } from "./server-settings.js";

/** The file in `data_dir` that keeps the node's id. */
const FILE_NAME = "node-id";

/**
 * The id that `data_dir` keeps, "" when it keeps none yet.
 * @throws {Fault} `config.unreadable` when the file is there but cannot be read, or holds no UUID.
 */
export function readNodeId(dataDir: string): string {
  const path = join(dataDir, FILE_NAME);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return "";
    throw new Fault("config.unreadable", `${path}: ${causeOf(error)}`, { errno, cause: error });
  }
  const id = text.trim().toLowerCase();
  if (isUuid(id)) return id;
  throw new Fault("config.unreadable", `${path} does not hold a UUID; write one there, or set node.node_id`);
}

/**
 * The configuration with its node's id: an id that is neither written nor kept yet is made, and kept in `data_dir` (which
 * is created), on disk before this returns. For a start, not for a check. Two starts at once end with one id.
 * @throws {Fault} `config.unreadable` when it cannot be read, `file.unwritable` when it cannot be kept.
 */
export function withNodeId(config: CompiledConfig): CompiledConfig {
  if (config.node.nodeId !== "") return config;
  return { ...config, node: { ...config.node, nodeId: keepNodeId(config.node.dataDir) } };
}

function keepNodeId(dataDir: string): string {
  const path = join(dataDir, FILE_NAME);
  const id = randomUUID();
  const temporary = `${path}.${id}`;
  try {
    makeDirectories(dataDir);
    writeSynced(temporary, `${id}\n`);
    // A link, unlike a rename, fails when somebody else was first; and the file appears whole.
    linkSync(temporary, path);
    syncDirectory(dirname(path));
    return id;
  } catch (error) {
    const errno = errnoOf(error);
    const kept = errno === "EEXIST" ? readNodeId(dataDir) : "";
    if (kept !== "") return kept;
    throw new Fault("file.unwritable", `${path} cannot be written: ${messageOf(error)}`, { errno, cause: error });
  } finally {
    removeQuietly(temporary);
  }
}

/** What is left behind of a failed attempt is only litter; its own failure says nothing new. */
function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // As said.
  }
}

function writeSynced(path: string, text: string): void {
  const file = openSync(path, "wx", 0o644);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
