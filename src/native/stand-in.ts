import { fdatasync, linkSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { open, statfs } from "node:fs/promises";
import { createServer, isIP } from "node:net";
import { threadId } from "node:worker_threads";
import { errnoOf, Fault } from "../base/fault.js";
import type { FreeSpace, Native, Reactor, ReactorOptions } from "./binding.js";
import { scanContent } from "./content-scan.js";
import { faultFrom, listenFault } from "./faults.js";
import { livingOwner, ownerText } from "./lock-owner.js";
import { StandInReactor } from "./stand-in-reactor.js";
import { SyncGroups } from "./sync-groups.js";

/** `listen({ reusePort })` came with Node 22.12 and 23.1. */
export const hasReusePort: boolean = (() => {
  const [major, minor] = process.versions.node.split(".").map(Number);
  return major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12);
})();

/**
 * The native face without the addon: slower, on Node's own sockets and files.
 * Runs on: any thread; one per thread.
 * Owns: nothing of its own, see `StandInReactor`.
 * When full: as the addon.
 * On failure: as the addon. What Node cannot do (a device, a mark, transparent binds, a
 *   time-out for what is unacknowledged) is a fault of errno ENOTSUP; an address that no interface has, of EADDRNOTAVAIL.
 */
export class StandIn implements Native {
  readonly kind = "stand-in";
  readonly perThreadListeners = hasReusePort;
  readonly scanContent = scanContent;

  readonly #syncs = new SyncGroups((fd, done) =>
    fdatasync(fd, (error) => done(error === null ? null : errnoOf(error))),
  );

  /** Only probes: Node cannot hold a port without listening on it, so `release` has nothing to do. */
  reservePort(host: string, port: number): Promise<{ readonly port: number; release(): void }> {
    if (isIP(host) === 0) return Promise.reject(listenFault(host, port, "EINVAL"));
    return new Promise((resolve, reject) => {
      const probe = createServer();
      probe.once("error", (error) => reject(listenFault(host, port, errnoOf(error) ?? "EUNKNOWN")));
      probe.listen({ host, port, exclusive: true, ipv6Only: host.includes(":") && host !== "::" }, () => {
        const address = probe.address();
        const bound = typeof address === "object" && address !== null ? address.port : port;
        probe.close(() => resolve({ port: bound, release() {} }));
      });
    });
  }

  /** By listening there for a moment: Node binds nothing otherwise. */
  async bindRefusal(address: string): Promise<string | null> {
    try {
      (await this.reservePort(address, 0)).release();
      return null;
    } catch (error) {
      return errnoOf(error) ?? "EUNKNOWN";
    }
  }

  createReactor(options: ReactorOptions): Reactor {
    return new StandInReactor(options, hasReusePort);
  }

  sync(fd: number): Promise<void> {
    return this.#syncs.sync(fd);
  }

  async syncDirectory(path: string): Promise<void> {
    try {
      const directory = await open(path, "r");
      try {
        if (!(await directory.stat()).isDirectory()) throw new Fault("spool.commit-failed", "", { errno: "ENOTDIR" });
        await directory.sync();
      } finally {
        await directory.close();
      }
    } catch (error) {
      throw faultFrom("spool.commit-failed", `fsync of directory ${path}`, error);
    }
  }

  async freeSpace(path: string): Promise<FreeSpace> {
    try {
      const info = await statfs(path);
      return {
        freeBytes: info.bavail * info.bsize,
        totalBytes: (info.blocks - info.bfree + info.bavail) * info.bsize,
        freeInodes: info.ffree,
        totalInodes: info.files,
      };
    } catch (error) {
      throw faultFrom("spool.unwritable", `free space of ${path}`, error);
    }
  }

  /** Node cannot map files: the caller makes do with memory, which does not outlive the process, and says so. */
  mapFile(): null {
    return null;
  }

  /** A signal handler in JavaScript does not run when the process has crashed. */
  markDeaths(): boolean {
    return false;
  }

  ownLine(): boolean {
    return false;
  }

  /** Threads are all called as the program is. */
  nameThread(): boolean {
    return false;
  }

  trimMemory(): Promise<void> {
    return Promise.resolve();
  }

  /**
   * A file that names its owner, made complete under a name of its own and then linked to `path`, which fails when there
   * is one. A file whose owner is dead is removed. Two that find the same dead one at the same moment can, at worst,
   * both be refused or one remove the other's lock between two of its calls; the addon has no such gap.
   */
  lockFile(path: string): { release(): void } | null {
    const own = `${path}.${process.pid}.${threadId}`;
    try {
      writeFileSync(own, ownerText());
      try {
        for (let attempt = 0; attempt < 2; attempt++) {
          if (tryLink(own, path)) return { release: () => removeOwn(path) };
          if (livingOwner(readText(path)) !== null) return null;
          removeIfThere(path);
        }
        return null;
      } finally {
        unlinkSync(own);
      }
    } catch (error) {
      throw faultFrom("spool.unwritable", `cannot lock ${path}`, error);
    }
  }
}

/** Gives `own` the name `path` too; false when there is such a file. */
function tryLink(own: string, path: string): boolean {
  try {
    linkSync(own, path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    throw error;
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return "";
    throw error;
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

/** Removes a lock unless it has become somebody else's. */
function removeOwn(path: string): void {
  if (readText(path) === ownerText()) removeIfThere(path);
}
