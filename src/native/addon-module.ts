import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Fault, messageOf } from "../base/fault.js";

/**
 * The addon's calls as they are: numbers, strings and buffers; negative results are errnos. In the order of `native/`.
 * `reactor` is the number that `openReactor` returned, `slot` a socket's number in it.
 */
export interface AddonModule {
  readonly faceVersion: number;
  errnoName(errno: number): string;

  // ── sockets.cc ───────────────────────────────────────────────────────────────────────────────────────────────────
  reserve(host: string, port: number): number;
  tryBind(host: string): number;
  boundPort(fd: number): number;
  releaseHeld(fd: number): void;

  // ── reactor_calls.cc ─────────────────────────────────────────────────────────────────────────────────────────────
  openReactor(arena: Uint8Array, rows: Int32Array, callback: (rowCount: number) => void): number;
  listen(reactor: number, host: string, port: number, backlog: number): number;
  connect(
    reactor: number,
    address: string | null,
    port: number,
    unix: string | null,
    localAddress: string | null,
    freeBind: boolean,
    transparent: boolean,
    device: string | null,
    mark: number | null,
    userTimeoutMs: number,
  ): number;
  sendText(reactor: number, slot: number, text: string): number;
  sendParts(reactor: number, slot: number, parts: readonly (string | Uint8Array)[], skip: number): number;
  pause(reactor: number, slot: number): void;
  resume(reactor: number, slot: number): void;
  awaitWritable(reactor: number, slot: number): void;
  finish(reactor: number, slot: number): number;
  close(reactor: number, slot: number): void;
  detach(reactor: number, slot: number): number;
  relay(reactor: number, first: number, second: number, toFirst: Uint8Array, toSecond: Uint8Array): number;
  relayBytes(reactor: number, first: number, way: number): number;
  endRelay(reactor: number, first: number): void;
  remoteAddress(reactor: number, slot: number): string;
  localAddress(reactor: number, slot: number): string;
  localPort(reactor: number, slot: number): number;
  closeReactor(reactor: number): void;

  // ── sync.cc ──────────────────────────────────────────────────────────────────────────────────────────────────────
  onDisk(callback: DiskCallback): void;
  syncData(token: number, fd: number): number;
  syncDirectory(token: number, path: string): number;
  freeSpace(token: number, path: string): number;
  trimMemory(token: number): number;
  lock(path: string): number;

  // ── codec.cc ─────────────────────────────────────────────────────────────────────────────────────────────────────
  scanContent(source: Uint8Array, start: number, end: number, cells: Int32Array): number;
  // ── map.cc ───────────────────────────────────────────────────────────────────────────────────────────────────────
  mapFile(path: string, bytes: number): ArrayBuffer | number;

  // ── deaths.cc ────────────────────────────────────────────────────────────────────────────────────────────────────
  markDeaths(path: string, at: number): number;
  ownLine(line: number): number;
  nameThread(name: string): number;
}

/** Gets the result of each disk job; the last four are 0 unless free space was asked for. */
export type DiskCallback = (
  token: number,
  errno: number,
  freeBytes: number,
  totalBytes: number,
  freeInodes: number,
  totalInodes: number,
) => void;

/** The kinds of rows that the reactor reports: the same list as `Kind` in `native/reactor.h`, where they are explained. */
export const RowKind = {
  accepted: 1,
  connected: 2,
  data: 3,
  end: 4,
  writable: 5,
  closed: 6,
  stalled: 7,
  relayed: 8,
} as const;

/** Numbers per row: slot, kind, a, b. */
export const ROW_CELLS = 4;

/** `kFaceVersion` of `native/addon.cc`. */
const FACE_VERSION = 5;

/** Where the build puts the addon: `build/Release` of the nearest directory above that has a `package.json`. */
export function addonPath(): string {
  let at = import.meta.dirname;
  while (!existsSync(join(at, "package.json")) && dirname(at) !== at) at = dirname(at);
  return join(at, "build", "Release", "hikyaku.node");
}

/**
 * Loads the addon for the calling thread.
 * @throws {Fault} `addon.unavailable` when there is none, it does not load here, or it is of another version.
 */
export function loadAddon(path: string): AddonModule {
  if (!existsSync(path)) throw new Fault("addon.unavailable", `it has not been built (no ${path})`);
  let loaded: AddonModule;
  try {
    loaded = createRequire(import.meta.url)(path) as AddonModule;
  } catch (error) {
    throw new Fault("addon.unavailable", `it cannot be loaded: ${messageOf(error)}`, { cause: error });
  }
  if (loaded.faceVersion === FACE_VERSION) return loaded;
  throw new Fault("addon.unavailable", `${path} was built for another version of the program; build it again`);
}
