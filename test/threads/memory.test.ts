/** Where the limit of memory comes from, what counts as used, and when its states begin and end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryGuard } from "../../src/threads/memory-guard.js";
import { memoryState } from "../../src/threads/memory-limit.js";

const GIB = 1024 ** 3;
const STATUS = "VmSize:\t 2097152 kB\nRssAnon:\t  102400 kB\nRssFile:\t  900000 kB\nRssShmem:\t    1024 kB\n";
const OWN = (102_400 + 1024) * 1024;
const UNLIMITED = "Max address space         unlimited            unlimited            bytes\n";

function files(texts: Readonly<Record<string, string>>) {
  const all: Readonly<Record<string, string>> = {
    "/proc/self/status": STATUS,
    "/proc/self/limits": UNLIMITED,
    "/proc/meminfo": `MemTotal:       ${8 * 1024 * 1024} kB\n`,
    ...texts,
  };
  return async (path: string): Promise<string | null> => all[path] ?? null;
}

const V2_STAT = "anon 1000\nfile 9999999\nkernel 500\nshmem 30\nsock 7\nslab_reclaimable 200\nslab_unreclaimable 250\n";

test("cgroup v2: memory.high counts as it is, of memory.max three quarters; the page cache does not count", async () => {
  const group = { "/proc/self/cgroup": "0::/mail\n", "/sys/fs/cgroup/mail/memory.stat": V2_STAT };
  const used = 1000 + 30 + 7 + 300;
  const max = { ...group, "/sys/fs/cgroup/mail/memory.max": "4000\n", "/sys/fs/cgroup/mail/memory.high": "max\n" };
  assert.deepEqual(await memoryState(files(max), null), { used, soft: 3000, from: "memory.max" });
  const high = { ...max, "/sys/fs/cgroup/mail/memory.high": "2500\n" };
  assert.deepEqual(await memoryState(files(high), null), { used, soft: 2500, from: "memory.high" });
});

test("cgroup v2: the group above ours counts when it has less room; without `kernel` its parts are summed", async () => {
  const read = files({
    "/proc/self/cgroup": "0::/slice/mail\n",
    "/sys/fs/cgroup/slice/mail/memory.max": "40000\n",
    "/sys/fs/cgroup/slice/mail/memory.stat": V2_STAT,
    "/sys/fs/cgroup/slice/memory.max": "10000\n",
    "/sys/fs/cgroup/slice/memory.stat": "anon 6000\nkernel_stack 10\npagetables 20\nslab_unreclaimable 40\n",
  });
  assert.deepEqual(await memoryState(read, null), { used: 6070, soft: 7500, from: "memory.max" });
});

test("cgroup v1: three quarters of the limit; its way of writing `no limit` is none", async () => {
  const group = {
    "/proc/self/cgroup": "4:memory:/box/mail\n0::/\n",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "/sys/fs/cgroup/memory/box/mail/memory.stat": "total_cache 999999\ntotal_rss 5000\ntotal_shmem 60\n",
    "/sys/fs/cgroup/memory/box/mail/memory.kmem.usage_in_bytes": "7\n",
  };
  const limited = { ...group, "/sys/fs/cgroup/memory/box/mail/memory.limit_in_bytes": "10000\n" };
  const state = await memoryState(files(limited), null);
  assert.deepEqual(state, { used: 5067, soft: 7500, from: "memory.limit_in_bytes" });
  assert.equal((await memoryState(files(group), null)).from, "the machine's memory");
});

test("without a control group: the process's limits, then the machine; what is mapped from files does not count", async () => {
  const machine = await memoryState(files({}), null);
  assert.deepEqual(machine, { used: OWN, soft: 6 * GIB, from: "the machine's memory" });
  const rss = "Max resident set          1073741824           1073741824           bytes\n";
  const resident = await memoryState(files({ "/proc/self/limits": rss }), null);
  assert.deepEqual(resident, { used: OWN, soft: 0.75 * GIB, from: "ulimit -m" });
  const space = `Max address space         ${3 * GIB}           unlimited           bytes\n`;
  const state = await memoryState(files({ "/proc/self/limits": space }), null);
  assert.deepEqual(state, { used: OWN, soft: 0.75 * (OWN + GIB), from: "ulimit -v" });
});

test("the configuration's limit goes before all others, and nothing is refused where nothing can be read", async () => {
  const group = { "/proc/self/cgroup": "0::/mail\n", "/sys/fs/cgroup/mail/memory.max": "4000\n" };
  assert.deepEqual(await memoryState(files(group), 77), { used: OWN, soft: 77, from: "memory.soft_limit" });
  const nothing = await memoryState(async () => null, null);
  assert.deepEqual([nothing.used, nothing.soft], [0, Number.POSITIVE_INFINITY]);
});

test("low from 80 % on, full from the limit on; each ends a twentieth below where it began", async (t) => {
  const told: string[] = [];
  let kilobytes = 0;
  const read = async (path: string): Promise<string | null> =>
    path === "/proc/self/status" ? `RssAnon: ${kilobytes} kB\n` : null;
  let givenBack = 0;
  const giveBack = async (): Promise<void> => {
    givenBack++;
  };
  const config = { softLimit: 1000 * 1024, lowThresh: null };
  const guard = new MemoryGuard(config, (level) => told.push(level), giveBack, read);
  t.after(() => guard.stop());
  for (const used of [799, 800, 999, 1000, 951, 949, 761, 759, 1000, 0]) {
    kilobytes = used;
    await guard.look();
    told.push(`@${used}`);
  }
  const line = told.join(" ");
  assert.equal(line, "@799 low @800 @999 full @1000 @951 low @949 @761 enough @759 full @1000 enough @0");
  assert.equal(givenBack, 7, "before each look but those after one that saw enough");
  assert.equal(guard.lowBytes, 800 * 1024);
});
