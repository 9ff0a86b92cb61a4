import { ConfigFault, findConfig, type LoadedConfig, loadConfig } from "../config/load.js";
import { formatProblems } from "../config/problems.js";

/** Exit status of a start with a wrong configuration (sysexits' EX_CONFIG). */
export const EX_CONFIG = 78;

/** The configuration file of a command: `--config FILE`, then `HIKYAKU_CONFIG`, then the usual places. */
export function configPath(option: string | undefined): string {
  return option ?? findConfig([], process.env);
}

/** Loads a configuration for a command. A wrong one is explained on stderr and gives null. */
export function loadOrExplain(path: string): LoadedConfig | null {
  try {
    const loaded = loadConfig(path);
    if (loaded.warnings.length > 0) process.stderr.write(`${formatProblems(loaded.warnings)}\n`);
    return loaded;
  } catch (error) {
    if (!(error instanceof ConfigFault)) throw error;
    process.stderr.write(`${error.message}\n`);
    return null;
  }
}
