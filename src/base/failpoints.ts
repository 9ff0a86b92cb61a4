/**
 * Failures on order, for tests and for operators who rehearse trouble on machines without strace: places in the program
 * that fail while a file says so.
 *
 * Runs on   every thread; each reads the file by itself
 * Owns      nothing; with HIKYAKU_FAULTS unset a failpoint is one comparison and can do nothing
 * When full a file longer than 64 KiB is read up to there
 * On failure a file that is missing or a line that is not understood orders nothing; the program's start says so
 *
 * HIKYAKU_FAULTS names a file. Each line orders one failure, in force from the moment the line is there until it is gone:
 *
 *     spool.commit error EIO          every commit of a spool shard fails with EIO
 *     spool.commit hang               every commit waits until the line is gone
 *     spool.commit stray              a commit leaves a rejected promise behind that nobody holds, as lmdb-js may
 *     spool.sync error EIO            every sync fails, in the mode `flushed` the commit with it
 *     log.write error ENOSPC          no line of the event log can be written
 *     spool.compact kill renamed      the process is killed at that step of a compaction (worker/spool/compaction.ts)
 *     disk.free low                   the free-space guard sees a full disk
 *     memory.used bytes 9e9           the memory in use is said to be this many bytes
 *     scheduler.turn last 3000        every turn of the scheduler takes this many milliseconds more
 *     egress.send throw poison@x      the worker that sends a message with this text in its recipient dies of a bug
 *     egress.send loop poison@x       … spins for ever
 *     egress.send abort poison@x      … takes the whole process with it
 *     spool.announce throw x.example  the worker that finds a message of this queue in the spool dies
 */
import { readFileSync, statSync, writeSync } from "node:fs";

/** The places that can fail. */
export type Failpoint =
  | "spool.compact"
  | "spool.commit"
  | "spool.sync"
  | "log.write"
  | "disk.free"
  | "egress.send"
  | "memory.used"
  | "spool.announce"
  | "scheduler.turn";

/** An order for one failpoint. */
export interface FaultOrder {
  readonly point: string;
  /** What to do, in the words of the failpoint. */
  readonly action: string;
  /** The rest of the line; empty when there is none. */
  readonly argument: string;
}

/** The forms of an order: what may stand behind each point, and how it is written. */
const ERRNO = { argument: /^(E[A-Z0-9]+)?$/, written: "ERRNO" };
const ANY = { argument: /^/, written: "TEXT" };
const NUMBER = { argument: /^[0-9]+(\.[0-9]+)?(e[0-9]+)?$/, written: "NUMBER" };
const NOTHING = { argument: /^/, written: "" };
const STEP = {
  argument: /^(|begun|copied|held|synced|unlocked|renamed|adopted)$/,
  written: "begun|copied|held|synced|unlocked|renamed|adopted",
};
const DEATHS = { throw: ANY, loop: ANY, abort: ANY };
const FORMS: Readonly<
  Record<Failpoint, Readonly<Record<string, { readonly argument: RegExp; readonly written: string }>>>
> = {
  "spool.commit": { error: ERRNO, hang: NOTHING, stray: NOTHING },
  "spool.sync": { error: ERRNO },
  "spool.compact": { kill: STEP, error: STEP },
  "log.write": { error: ERRNO },
  "disk.free": { low: NOTHING },
  "memory.used": { bytes: NUMBER },
  "egress.send": DEATHS,
  "spool.announce": DEATHS,
  "scheduler.turn": { last: NUMBER },
};
const POINTS: ReadonlyMap<string, (typeof FORMS)[Failpoint]> = new Map(Object.entries(FORMS));
/** Lines of one reading that are complained of. */
const MAX_COMPLAINTS = 10;

const MAX_BYTES = 64 * 1024;
const file = process.env["HIKYAKU_FAULTS"] ?? "";
let orders: readonly FaultOrder[] = [];
let readAs = "";
let tell: ((complaint: string) => void) | null = null;

/** The orders of a file's text; lines that are empty, comments or too short are passed over. */
export function parseFaultOrders(text: string): FaultOrder[] {
  return text
    .slice(0, MAX_BYTES)
    .split("\n")
    .map((line) => /^\s*([a-z.]+)\s+([a-z]+)(?:\s+(.*?))?\s*$/.exec(line))
    .filter((match) => match !== null)
    .map((match) => ({ point: match[1] as string, action: match[2] as string, argument: match[3] ?? "" }));
}

/**
 * What is wrong with a file's text, each as `NAME:LINE: …` with what was expected; a typo would order nothing, and a
 * rehearsal would pass for the wrong reason.
 */
export function faultComplaints(text: string, name: string): string[] {
  const complaints: string[] = [];
  for (const [index, line] of text.slice(0, MAX_BYTES).split("\n").entries()) {
    const written = line.trim();
    if (written === "" || written.startsWith("#")) continue;
    const expected = expectedInstead(written);
    if (expected === null) continue;
    complaints.push(`${name}:${index + 1}: ${JSON.stringify(written.slice(0, 80))} orders nothing: ${expected}`);
    if (complaints.length === MAX_COMPLAINTS) break;
  }
  return complaints;
}

function expectedInstead(line: string): string | null {
  const [order] = parseFaultOrders(line);
  const point = order?.point ?? line.split(/\s/)[0] ?? "";
  const forms = POINTS.get(point);
  if (forms === undefined) return `no such place to fail, expected one of ${[...POINTS.keys()].join(", ")}`;
  const form = order === undefined ? undefined : Object.entries(forms).find(([action]) => action === order.action);
  if (form?.[1].argument.test(order?.argument ?? "")) return null;
  const all = Object.entries(forms).map(([action, { written }]) => `${point} ${action} ${written}`.trimEnd());
  return `expected ${all.join(" or ")}`;
}

/**
 * Has this thread tell of lines that order nothing, now and whenever it reads the file anew, and now of a file that is not
 * there. One thread of a program does it.
 */
export function tellFaultComplaints(complain: (complaint: string) => void): void {
  tell = complain;
  if (file !== "" && statSync(file, { throwIfNoEntry: false }) === undefined) {
    complain(`${file} (HIKYAKU_FAULTS) does not exist: nothing fails until it does`);
  }
  readAs = "";
  if (file !== "") current();
}

/** The order in force for `point`, null when there is none. `about` must contain the order's argument where it matters. */
export function faultOrder(point: Failpoint, about?: string): FaultOrder | null {
  if (file === "") return null;
  for (const order of current()) {
    if (order.point === point && (about === undefined || about.includes(order.argument))) return order;
  }
  return null;
}

/** An error as the operating system would give it, when `point` is ordered to fail with `error ERRNO`; else null. */
export function orderedError(point: Failpoint): Error | null {
  const order = faultOrder(point);
  if (order === null || order.action !== "error") return null;
  const errno = order.argument === "" ? "EIO" : order.argument;
  return Object.assign(new Error(`${errno}: failed on order (HIKYAKU_FAULTS)`), { code: errno });
}

/** Dies, spins, or ends the process, when `point` is ordered to `throw`, `loop` or `abort` about this. */
export function dieAsOrdered(point: Failpoint, about: string): void {
  const order = faultOrder(point, about);
  if (order === null) return;
  if (order.action === "throw") throw new Error("died on order (HIKYAKU_FAULTS)");
  // Past all buffers: nothing of this thread gets out any more.
  if (order.action === "loop") writeSync(2, `hikyaku: ${point} spins on order (HIKYAKU_FAULTS)\n`);
  if (order.action === "abort") process.kill(process.pid, "SIGABRT");
  // A process that was told to abort does nothing more either.
  if (order.action === "loop" || order.action === "abort") for (;;);
}

/** Whether failures can be ordered at all: a start says so. */
export function faultsFile(): string | null {
  return file === "" ? null : file;
}

function current(): readonly FaultOrder[] {
  try {
    const { mtimeMs, size, ino } = statSync(file);
    const as = `${mtimeMs} ${size} ${ino}`;
    if (as !== readAs) {
      const text = readFileSync(file, "utf8");
      orders = parseFaultOrders(text);
      readAs = as;
      if (tell !== null) for (const complaint of faultComplaints(text, file)) tell(complaint);
    }
  } catch {
    orders = [];
    readAs = "";
  }
  return orders;
}
