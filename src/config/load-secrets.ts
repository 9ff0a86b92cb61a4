import { type LoadedConfig, loadConfig } from "./load.js";
import { VaultSecrets } from "./vault-secrets.js";

/** A reading that knows all secrets may name others: somebody has changed the files meanwhile. */
const MOST_ROUNDS = 4;

/**
 * Loads a configuration with its secrets from Vault: reads it, fetches what it names, reads it once more. Without such
 * secrets that is one reading, and nobody is asked.
 * @throws {ConfigFault} as `loadConfig`; what cannot be had from Vault is a problem where it is named.
 */
export async function loadWithSecrets(path: string, env: NodeJS.ProcessEnv = process.env): Promise<LoadedConfig> {
  const secrets = new VaultSecrets(env);
  for (let round = 0; round < MOST_ROUNDS; round++) {
    let loaded: LoadedConfig | null = null;
    let fault: unknown = null;
    try {
      loaded = loadConfig(path, env, secrets);
    } catch (error) {
      fault = error;
    }
    if (!secrets.isWanting) {
      if (loaded === null) throw fault;
      return loaded;
    }
    await secrets.fetch();
  }
  secrets.seal();
  return loadConfig(path, env, secrets);
}
