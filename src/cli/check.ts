import type { Command } from "commander";
import { Fault } from "../base/fault.js";
import type { CompiledConfig } from "../config/compiled.js";
import { ConfigFault } from "../config/load.js";
import { loadWithSecrets } from "../config/load-secrets.js";
import { formatProblems, type Problem } from "../config/problems.js";
import { loadZone } from "../dns/static-zone.js";
import { configPath, explainConfig, loadWithoutSecrets } from "./config-argument.js";

/** Adds `hikyaku check` to the command line. */
export function addCheckCommand(program: Command): void {
  program
    .command("check")
    .description("check a configuration and the files that it names; exit 0 when a server could start with it, else 1")
    .option("--config <FILE>", "the configuration (default: HIKYAKU_CONFIG, ./hikyaku.toml, /etc/hikyaku/hikyaku.toml)")
    .option("--no-vault", "do not ask Vault for the secrets that the configuration names; the rest is checked")
    .option("--json", "print the problems as JSON")
    .action(async (flags: { readonly config?: string; readonly json?: boolean; readonly vault: boolean }) => {
      process.exitCode = await check(configPath(flags.config), flags.json === true, flags.vault);
    });
}

/** What a server could start with, but hardly somebody means. */
function unusable(config: CompiledConfig, file: string): Problem[] {
  if (config.smtpListeners.length > 0) return [];
  const message = "there is no [[smtp_listener]]: a server with this configuration takes no mail";
  return [{ severity: "warning", file, line: null, column: null, key: "", message }];
}

async function check(path: string, json: boolean, vault: boolean): Promise<number> {
  let problems: readonly Problem[] = [];
  let fault: string | null = null;
  try {
    const loaded = vault ? await loadWithSecrets(path) : loadWithoutSecrets(path);
    problems = [...loaded.warnings, ...unusable(loaded.config, path)];
    const { hostsFile } = loaded.config.dns;
    if (hostsFile !== null) loadZone(hostsFile);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const isConfig = error instanceof ConfigFault;
    fault = isConfig ? explainConfig(path, error) : error.message;
    problems = isConfig ? error.problems : [];
  }
  if (json) {
    const unreadable = problems.length === 0 ? fault : null;
    process.stdout.write(`${JSON.stringify({ file: path, good: fault === null, unreadable, problems })}\n`);
  } else if (fault !== null) {
    process.stderr.write(`${fault}\n`);
  } else {
    if (problems.length > 0) process.stderr.write(`${formatProblems(problems)}\n`);
    process.stdout.write(`${path}: good\n`);
  }
  return fault === null ? 0 : 1;
}
