import { createHash } from "node:crypto";
import { Worker } from "node:worker_threads";
import { Fault, messageOf } from "../base/fault.js";
import { ConfigFault, type LoadedConfig } from "../config/load.js";
import { loadWithSecrets } from "../config/load-secrets.js";
import type { Problem } from "../config/problems.js";
import { loadZone } from "../dns/static-zone.js";

/** What a reading of the configuration gave. */
export type ConfigReading =
  /** `digest` is the same for two readings that say the same. */
  | { readonly kind: "good"; readonly loaded: LoadedConfig; readonly digest: string }
  /** `reason`: one line per problem. */
  | { readonly kind: "wrong"; readonly reason: string; readonly problems: readonly Problem[] };

/** Longest time that reading and checking may take before it is given up. */
const LONGEST_MS = 30_000;

/** Tells configurations apart: what the files say, the static zone file among them. */
export function digestOf({ config, written }: LoadedConfig): string {
  return createHash("sha256")
    .update(JSON.stringify([config, written]))
    .digest("hex");
}

/** Reads and checks the configuration, and fetches its secrets, on the thread that calls it. */
export async function readConfigHere(path: string): Promise<ConfigReading> {
  try {
    const loaded = await loadWithSecrets(path);
    // The zone file must be good, too: it is read again, in small steps, where it comes into force.
    const { hostsFile } = loaded.config.dns;
    if (hostsFile !== null) loadZone(hostsFile);
    return { kind: "good", loaded, digest: digestOf(loaded) };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const problems = error instanceof ConfigFault ? error.problems : [];
    return { kind: "wrong", reason: error.message, problems };
  }
}

/**
 * Reads and checks the configuration on a thread of its own: a large one takes longer than the scheduler may be kept
 * waiting. Never rejects: a thread that dies or takes too long is a wrong configuration.
 */
export function readConfig(path: string): Promise<ConfigReading> {
  const worker = new Worker(new URL("./config-reading-main.js", import.meta.url), { workerData: path });
  return new Promise((resolve) => {
    const wrong = (reason: string): void => {
      clearTimeout(late);
      resolve({ kind: "wrong", reason, problems: [] });
    };
    const late = setTimeout(() => {
      wrong(`${path}: not read within ${LONGEST_MS / 1000} s`);
      void worker.terminate();
    }, LONGEST_MS);
    worker.on("message", (reading: ConfigReading) => {
      clearTimeout(late);
      resolve(reading);
    });
    worker.on("error", (error) => wrong(`${path}: ${messageOf(error)}`));
    worker.on("exit", () => wrong(`${path}: the thread that read it has ended`));
  });
}
