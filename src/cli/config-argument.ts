import type { Fault } from "../base/fault.js";
import { ConfigFault, findConfig, type LoadedConfig, loadConfig } from "../config/load.js";
import { loadWithSecrets } from "../config/load-secrets.js";
import { formatProblems } from "../config/problems.js";
import { WITHOUT_SECRETS } from "../config/secret-source.js";

/** Exit status of a start with a wrong configuration (sysexits' EX_CONFIG). */
export const EX_CONFIG = 78;
/** Exit status of a command that was called wrongly. */
export const EX_USAGE = 2;
/** Exit status when the server cannot be reached. */
export const EX_UNREACHABLE = 3;

/** The configuration file of a command: `--config FILE`, then `HIKYAKU_CONFIG`, then the usual places. */
export function configPath(option: string | undefined): string {
  return option ?? findConfig([], process.env);
}

/** Loads a configuration for a command that needs no secrets: it works where Vault cannot be asked. */
export function loadWithoutSecrets(path: string): LoadedConfig {
  return loadConfig(path, process.env, WITHOUT_SECRETS);
}

/** Loads a configuration for a command. A wrong one is explained on stderr and gives null. */
export async function loadOrExplain(
  path: string,
  load: (path: string) => LoadedConfig | Promise<LoadedConfig> = (given) => loadWithSecrets(given),
): Promise<LoadedConfig | null> {
  try {
    const loaded = await load(path);
    if (loaded.warnings.length > 0) process.stderr.write(`${formatProblems(loaded.warnings)}\n`);
    return loaded;
  } catch (error) {
    if (!(error instanceof ConfigFault)) throw error;
    process.stderr.write(`${explainConfig(path, error)}\n`);
    return null;
  }
}

/** What is wrong with the configuration at `path`, in words for whoever runs a command: one line, or one per problem. */
export function explainConfig(path: string, fault: Fault): string {
  if (fault.code !== "config.unreadable") return fault.message;
  switch (fault.errno) {
    case "ENOENT":
      return `the configuration ${path} does not exist: name the file with --config FILE or in HIKYAKU_CONFIG`;
    case "ENOTDIR":
      return `the configuration ${path} does not exist: a part of that path is a file, not a directory`;
    case "EISDIR":
      return `the configuration ${path} is a directory: name the file in it`;
    case "EACCES":
      return `the configuration ${path} may not be read by this user: change its permissions, or use another user`;
    default:
      return `the configuration cannot be read: ${fault.message}`;
  }
}
