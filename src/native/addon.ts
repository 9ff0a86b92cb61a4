import { fstatSync, ftruncateSync, readFileSync, statSync, writeSync } from "node:fs";
import { assert } from "../base/assert.js";
import { Fault } from "../base/fault.js";
import type { AddonModule } from "./addon-module.js";
import type { FreeSpace, Native, Reactor, ReactorOptions } from "./binding.js";
import { type ContentState, type ScanContent, scanContent } from "./content-scan.js";
import { faultFrom, listenFault } from "./faults.js";
import { livingOwner, ownerText } from "./lock-owner.js";
import { AddonReactor } from "./reactor.js";
import { SyncGroups } from "./sync-groups.js";

/** What a disk job came to. */
interface DiskResult {
  /** Name, or null for success. */
  readonly errno: string | null;
  readonly space: FreeSpace;
}

/**
 * The addon behind the native face.
 * Runs on: the thread that loaded it; one per thread.
 * Owns: the disk jobs under way and who waits for them.
 * When full: callers bound their jobs; syncs are one running and one waiting group per descriptor.
 * On failure: a fault with the errno's name, to the caller whose call it was.
 */
export class AddonNative implements Native {
  readonly kind = "addon";
  readonly perThreadListeners = true;

  readonly #addon: AddonModule;
  /** A scan on its way into the addon and back: state, length of the line, longest line, bits, NUL. */
  readonly #cells = new Int32Array(5);
  readonly #jobs = new Map<number, (result: DiskResult) => void>();
  #lastToken = 0;
  readonly #syncs = new SyncGroups((fd, done) => {
    this.#submit(
      (token) => this.#addon.syncData(token, fd),
      (result) => done(result.errno),
    );
  });

  constructor(addon: AddonModule) {
    this.#addon = addon;
    addon.onDisk((token, errno, freeBytes, totalBytes, freeInodes, totalInodes) => {
      const job = this.#jobs.get(token);
      this.#jobs.delete(token);
      const space = { freeBytes, totalBytes, freeInodes, totalInodes };
      job?.({ errno: errno === 0 ? null : addon.errnoName(errno), space });
    });
  }

  async reservePort(host: string, port: number): Promise<{ readonly port: number; release(): void }> {
    const fd = this.#addon.reserve(host, port);
    if (fd < 0) throw listenFault(host, port, this.#addon.errnoName(-fd));
    return { port: this.#addon.boundPort(fd), release: this.#releaser(fd) };
  }

  async bindRefusal(address: string): Promise<string | null> {
    const result = this.#addon.tryBind(address);
    return result === 0 ? null : this.#addon.errnoName(-result);
  }

  createReactor(options: ReactorOptions): Reactor {
    return new AddonReactor(this.#addon, options);
  }

  sync(fd: number): Promise<void> {
    return this.#syncs.sync(fd);
  }

  async syncDirectory(path: string): Promise<void> {
    const { errno } = await this.#job((token) => this.#addon.syncDirectory(token, path));
    if (errno !== null) throw new Fault("spool.commit-failed", `fsync of directory ${path}: ${errno}`, { errno });
  }

  async freeSpace(path: string): Promise<FreeSpace> {
    const { errno, space } = await this.#job((token) => this.#addon.freeSpace(token, path));
    if (errno !== null) throw new Fault("spool.unwritable", `free space of ${path}: ${errno}`, { errno });
    return space;
  }

  async trimMemory(): Promise<void> {
    await this.#job((token) => this.#addon.trimMemory(token));
  }

  lockFile(path: string): { release(): void } | null {
    const fd = this.#addon.lock(path);
    if (fd === -LOCKED) return null;
    if (fd < 0) {
      const errno = this.#addon.errnoName(-fd);
      throw new Fault("spool.unwritable", `cannot lock ${path}: ${errno}`, { errno });
    }
    const release = this.#releaser(fd);
    try {
      // Its last owner removed the file between our opening and locking it: what we hold is nobody's lock.
      if (statSync(path, { throwIfNoEntry: false })?.ino !== fstatSync(fd).ino) {
        release();
        return null;
      }
      // A server on the stand-in locks with the file's text alone, so that counts too, and ours is left for it to see.
      const owner = livingOwner(readFileSync(path, "latin1"));
      if (owner !== null && owner !== process.pid) {
        release();
        return null;
      }
      ftruncateSync(fd, 0);
      writeSync(fd, ownerText(), 0);
    } catch (error) {
      release();
      throw faultFrom("spool.unwritable", `cannot lock ${path}`, error);
    }
    return {
      release: once(() => {
        ftruncateSync(fd, 0);
        release();
      }),
    };
  }

  readonly scanContent: ScanContent = (source, start, end, scan) => {
    if (end - start < SHORT_SCAN) return scanContent(source, start, end, scan);
    const cells = this.#cells;
    cells[0] = scan.state;
    cells[1] = scan.lineLength;
    cells[2] = scan.longestLine;
    cells[3] = scan.bits;
    cells[4] = scan.nul ? 1 : 0;
    const at = this.#addon.scanContent(source, start, end, cells);
    assert(at >= start, "a scan is of bytes that are there");
    scan.state = cells[0] as ContentState;
    scan.lineLength = cells[1] as number;
    scan.longestLine = cells[2] as number;
    scan.bits = cells[3] as number;
    scan.nul = cells[4] === 1;
    return at;
  };
  mapFile(path: string, bytes: number): ArrayBuffer {
    const mapped = this.#addon.mapFile(path, bytes);
    if (typeof mapped !== "number") return mapped;
    const errno = this.#addon.errnoName(-mapped);
    throw new Fault("spool.unwritable", `cannot map ${path}: ${errno}`, { errno });
  }

  markDeaths(path: string, at: number): boolean {
    const result = this.#addon.markDeaths(path, at);
    if (result === 0) return true;
    const errno = this.#addon.errnoName(-result);
    throw new Fault("spool.unwritable", `cannot note deaths in ${path}: ${errno}`, { errno });
  }

  ownLine(line: number): boolean {
    return this.#addon.ownLine(line) === 0;
  }

  nameThread(name: string): boolean {
    return this.#addon.nameThread(name) === 0;
  }

  #releaser(fd: number): () => void {
    return once(() => this.#addon.releaseHeld(fd));
  }

  #job(start: (token: number) => number): Promise<DiskResult> {
    return new Promise((resolve) => this.#submit(start, resolve));
  }

  #submit(start: (token: number) => number, done: (result: DiskResult) => void): void {
    const token = (this.#lastToken = (this.#lastToken + 1) & 0x7fffffff);
    this.#jobs.set(token, done);
    const result = start(token);
    if (result === 0) return;
    this.#jobs.delete(token);
    queueMicrotask(() => done({ errno: this.#addon.errnoName(-result), space: NO_SPACE }));
  }
}

/** EAGAIN, with which flock refuses, on every Linux. */
const LOCKED = 11;

/** Runs below this are scanned by the script: the call would cost more than it saves (bench/micro/dot-decoder.ts). */
const SHORT_SCAN = 1024;

const NO_SPACE: FreeSpace = { freeBytes: 0, totalBytes: 0, freeInodes: 0, totalInodes: 0 };

/** A function that does `action` the first time only. */
function once(action: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    action();
  };
}
