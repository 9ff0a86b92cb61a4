import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { Fault } from "../../src/base/fault.js";
import type { Native } from "../../src/native/binding.js";

const CHILD = join(import.meta.dirname, "child.js");

/** What every implementation of the native face must do with files. */
export function describeDisk(native: Native): void {
  describe(`${native.kind}: disk`, () => {
    const directory = mkdtempSync(join(tmpdir(), "hikyaku-"));
    after(() => rmSync(directory, { recursive: true }));

    test("a hundred syncs asked for together are two groups", async () => {
      const fd = openSync(join(directory, "log"), "w");
      try {
        writeSync(fd, "record");
        const promises = Array.from({ length: 100 }, () => native.sync(fd));
        assert.equal(new Set(promises).size, 2, "the first runs at once, all others share the next");
        await Promise.all(promises);
        await native.sync(fd);
      } finally {
        closeSync(fd);
      }
    });

    test("a sync of no file is EBADF, for every waiter of the group", async () => {
      const results = await Promise.allSettled([native.sync(9999), native.sync(9999), native.sync(9999)]);
      for (const result of results) {
        assert.equal(result.status, "rejected");
        assert.ok(result.reason instanceof Fault);
        assert.equal(result.reason.code, "spool.commit-failed");
        assert.equal(result.reason.errno, "EBADF");
      }
    });

    test("directories are synced, other things are not", async () => {
      await native.syncDirectory(directory);
      const missing = join(directory, "missing");
      await assert.rejects(native.syncDirectory(missing), { code: "spool.commit-failed", errno: "ENOENT" });
      const file = join(directory, "file");
      writeFileSync(file, "");
      await assert.rejects(native.syncDirectory(file), { code: "spool.commit-failed", errno: "ENOTDIR" });
    });

    test("free space is of the file system that holds the path", async () => {
      const space = await native.freeSpace(directory);
      assert.ok(space.totalBytes > 1_000_000);
      assert.ok(space.freeBytes > 0 && space.freeBytes <= space.totalBytes);
      assert.ok(space.freeInodes >= 0 && space.freeInodes <= space.totalInodes);
      await assert.rejects(native.freeSpace(join(directory, "missing")), { code: "spool.unwritable", errno: "ENOENT" });
    });

    test("a lock is had once, until it is released", () => {
      const path = join(directory, "lock");
      const first = native.lockFile(path);
      assert.notEqual(first, null);
      assert.match(readFileSync(path, "latin1"), new RegExp(`^${process.pid} `));
      assert.equal(native.lockFile(path), null);
      first?.release();
      first?.release();
      const second = native.lockFile(path);
      assert.notEqual(second, null);
      assert.equal(native.lockFile(path), null, "releasing the first twice did not release the second");
      second?.release();
    });

    test("a lock whose owner is dead is free; one whose owner lives elsewhere is not", () => {
      const path = join(directory, "stale");
      writeFileSync(path, "4194305 1\n");
      const lock = native.lockFile(path);
      assert.notEqual(lock, null);
      lock?.release();
      // The process that started us lives as long as we do.
      const stat = readFileSync(`/proc/${process.ppid}/stat`, "latin1");
      const start = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
      writeFileSync(path, `${process.ppid} ${start}\n`);
      assert.equal(native.lockFile(path), null);
      writeFileSync(path, `${process.ppid} 1\n`);
      const reused = native.lockFile(path);
      assert.notEqual(reused, null, "the same number, but another process");
      reused?.release();
    });

    test("a file is mapped, zero where it was shorter, and what is written there is in it; or it cannot be mapped at all", () => {
      const path = join(directory, "mapped");
      writeFileSync(path, "abc");
      const first = native.mapFile(path, 8192);
      if (native.kind === "stand-in") {
        assert.equal(first, null);
        return;
      }
      assert.ok(first !== null);
      const bytes = new Uint8Array(first);
      assert.deepEqual([bytes.length, ...bytes.subarray(0, 4)], [8192, 97, 98, 99, 0]);
      const second = new Uint8Array(native.mapFile(path, 4096) ?? new ArrayBuffer(0));
      bytes[5] = 7;
      assert.equal(second[5], 7);
      assert.deepEqual([...readFileSync(path).subarray(3, 6)], [0, 0, 7]);
      rmSync(path);
      bytes[6] = 8;
      assert.equal(second[6], 8, "a mapping outlives the file's name");
      assert.throws(() => native.mapFile(join(directory, "no", "file"), 4096), {
        code: "spool.unwritable",
        errno: "ENOENT",
      });
      assert.throws(() => native.mapFile(directory, 4096), { code: "spool.unwritable", errno: "EISDIR" });
      assert.throws(() => native.mapFile(path, 0), { code: "spool.unwritable", errno: "EINVAL" });
    });

    describe("the signal that a process dies of is left in a file", { skip: native.kind === "stand-in" }, () => {
      const noted = join(directory, "noted");
      /** Under a sanitizer it is that which ends the process, with a report. */
      const sanitized = (process.env["ASAN_OPTIONS"] ?? "") !== "";

      async function die(how: string, flags: readonly string[] = [], from?: NodeJS.Signals) {
        writeFileSync(noted, Buffer.alloc(4096));
        const child = spawn(process.execPath, [...flags, CHILD, "die", noted, how], {
          stdio: ["pipe", "pipe", "pipe"],
        });
        let said = "";
        child.stderr.resume();
        child.stdout.on("data", (chunk: Buffer) => {
          said += chunk.toString();
          if (from !== undefined) child.kill(from);
        });
        const [status, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
        return {
          end: signal ?? status,
          said,
          mark: readFileSync(noted).readDoubleLE(8),
          line: readFileSync(noted).readDoubleLE(16),
        };
      }

      // By the thread's line: -1 for one that has none, 0 for a signal that was sent to the process and found just any.
      for (const [how, signal, thread] of [
        ["abort", "SIGABRT", -1],
        ["touch-what-is-gone", "SIGBUS", -1],
        ["touch-what-is-gone-in-a-thread", "SIGBUS", -1],
        ["touch-what-is-gone-on-line-7", "SIGBUS", 7],
        ["overflow-the-stack", "SIGSEGV", -1],
        ["kill-itself", "SIGILL", 0],
      ] as const) {
        test(`${signal}: ${how}`, async () => {
          const { end, mark, line } = await die(how, how === "overflow-the-stack" ? ["--stack-size=1000000"] : []);
          assert.ok(end === signal || (sanitized && end === 99), `it ended with ${end}`);
          assert.equal(mark, constants.signals[signal]);
          assert.equal(line, thread);
        });
      }

      test("one that another process sent leaves nothing, nor does one that cannot be caught", async () => {
        for (const signal of ["SIGABRT", "SIGSEGV", "SIGKILL"] as const) {
          const { end, mark, line } = await die("wait", [], signal);
          assert.ok(end === signal || (sanitized && end === 99), `it ended with ${end}`);
          assert.deepEqual([mark, line], [0, 0], signal);
        }
      });

      test("a fault of WebAssembly's is V8's to mend: no death, no mark; nor does a thread's end leave one", async () => {
        assert.deepEqual(await die("trap-and-live"), {
          end: 0,
          said: "memory access out of bounds\n",
          mark: 0,
          line: 0,
        });
      });
    });

    test("where deaths are noted must be in the first page of a file that is there; or nowhere at all", () => {
      const path = join(directory, "deaths");
      if (native.kind === "stand-in") {
        assert.equal(native.markDeaths(path, 8), false);
        return;
      }
      assert.throws(() => native.markDeaths(path, 8), { code: "spool.unwritable", errno: "ENOENT" });
      assert.throws(() => native.markDeaths(directory, 8), { code: "spool.unwritable", errno: "EISDIR" });
      writeFileSync(path, "");
      for (const at of [-8, 4, 1 << 30]) {
        assert.throws(() => native.markDeaths(path, at), { code: "spool.unwritable", errno: "EINVAL" });
      }
      assert.equal(native.markDeaths(path, 8), true);
      assert.equal(native.markDeaths(path, 16), true, "again, and elsewhere");
      assert.equal(statSync(path).size, 32);
    });

    test("a thread can be named, and with the addon /proc knows it; a line of deaths is above 0 and not beyond all bounds", () => {
      const name = (): string => readFileSync("/proc/thread-self/comm", "latin1").trim();
      const before = name();
      const isAddon = native.kind === "addon";
      assert.equal(native.nameThread("hk-test-of-names"), isAddon);
      assert.equal(name(), isAddon ? "hk-test-of-name" : before);
      native.nameThread(before);
      assert.equal(name(), before);
      assert.equal(native.ownLine(3), isAddon);
      for (const line of [0, -1, 1 << 20]) assert.equal(native.ownLine(line), false);
    });

    test("a lock in no directory is a fault", () => {
      assert.throws(() => native.lockFile(join(directory, "no", "lock")), {
        code: "spool.unwritable",
        errno: "ENOENT",
      });
    });
  });
}
