import { LinesFile } from "../base/lines-file.js";
import { parseStsPolicy } from "./sts-policy.js";
import type { StsEntry, StsTable } from "./sts-table.js";

const DELAY_MS = 2000;

/**
 * The policies on disk, so that a restart is no first contact: whoever can keep a policy from being fetched would otherwise
 * only have to wait for one. Fills the table with what the file holds. A file that cannot be read means that policies are
 * fetched again.
 */
export function openStsFile(path: string, table: StsTable, notice: (line: string) => void): LinesFile {
  const lines = () =>
    [...table.entries()].map(
      ([domain, entry]) =>
        () =>
          printLine(domain, entry),
    );
  const file = new LinesFile(path, DELAY_MS, lines, notice);
  file.load((line) => {
    const read = readLine(line);
    if (read !== null) table.set(read.domain, read.entry);
    return read !== null;
  });
  return file;
}

function printLine(domain: string, { id, policy, fetchedMs }: StsEntry): string {
  const { mode, maxAgeMs, mx } = policy;
  return [domain, id, fetchedMs, mode, maxAgeMs / 1000, ...mx].join(" ");
}

/** A line is read with the same eyes as a policy of the network. */
function readLine(line: string): { readonly domain: string; readonly entry: StsEntry } | null {
  const [domain = "", id = "", fetched = "", mode = "", age = "", ...mx] = line.split(" ");
  if (domain === "" || !/^[A-Za-z0-9]{1,32}$/.test(id) || !/^\d{1,15}$/.test(fetched)) return null;
  const lines = ["version: STSv1", `mode: ${mode}`, `max_age: ${age}`, ...mx.map((pattern) => `mx: ${pattern}`)];
  const read = parseStsPolicy(lines.join("\n"));
  return read.kind === "policy" ? { domain, entry: { id, policy: read.policy, fetchedMs: Number(fetched) } } : null;
}
