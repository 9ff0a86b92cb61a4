import { quote } from "./problems.js";
import type { SecretSource, VaultAnswer, VaultReference } from "./secret-source.js";
import type { VaultFound, VaultPlace } from "./vault-fetch.js";
import { isServer, isToken } from "./vault-reference.js";

/** Most secrets of one configuration. */
const MAX_SECRETS = 1000;

/**
 * The secrets from Vault of one reading of the configuration: noted by a first reading, fetched, given to the next one.
 *
 * Runs on   the thread that reads the configuration
 * Owns      what Vault answered, until it is let go; nothing is kept on disk
 * When full of more than 1,000 secrets the rest is refused
 * On failure each secret that cannot be had is refused in words, where it is named
 */
export class VaultSecrets implements SecretSource {
  readonly #env: NodeJS.ProcessEnv;
  readonly #found = new Map<string, VaultFound>();
  readonly #wanted = new Map<string, VaultPlace>();
  #sealed = false;

  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env;
  }

  /** Something was asked for that has not been fetched. */
  get isWanting(): boolean {
    return this.#wanted.size > 0;
  }

  /** Nothing will be fetched any more. */
  seal(): void {
    this.#sealed = true;
    this.#wanted.clear();
  }

  read(reference: VaultReference): VaultAnswer {
    const { mount, path, key } = reference;
    const address = reference.address ?? this.#env["VAULT_ADDR"] ?? "";
    const token = reference.token ?? this.#env["VAULT_TOKEN"] ?? "";
    if (address === "") return refused("no vault_address is given, and VAULT_ADDR is not set");
    if (!isServer(address)) return refused("VAULT_ADDR is no URL such as https://vault.example:8200");
    if (token === "") return refused("no vault_token is given, and VAULT_TOKEN is not set");
    if (!isToken(token)) return refused("VAULT_TOKEN holds no token");
    const id = JSON.stringify([address, token, mount, path]);
    const found = this.#found.get(id);
    if (found === undefined) return this.#want(id, { address, token, mount, path });
    if ("reason" in found) return refused(found.reason);
    const text = found.pairs.get(key);
    if (typeof text === "string") return { kind: "text", text };
    const where = `Vault at ${address}: ${mount}/${path}`;
    return refused(text === undefined ? `${where} has no key ${quote(key)}` : `${where}: ${quote(key)} is no text`);
  }

  #want(id: string, place: VaultPlace): VaultAnswer {
    if (this.#sealed) return refused("not read: the files changed while they were being read");
    if (this.#found.size + this.#wanted.size >= MAX_SECRETS && !this.#wanted.has(id)) {
      return refused(`more than ${MAX_SECRETS} secrets from Vault`);
    }
    this.#wanted.set(id, place);
    return { kind: "unread" };
  }

  /** Fetches all that is wanted. Never rejects: what fails is refused at the next reading. */
  async fetch(): Promise<void> {
    const wanted = [...this.#wanted];
    this.#wanted.clear();
    // Loaded by those who need it: an HTTP client takes long to load, and a reload has little time.
    const { fetchPlaces } = await import("./vault-fetch.js");
    for (const [id, found] of await fetchPlaces(wanted, this.#env)) this.#found.set(id, found);
  }
}

function refused(reason: string): VaultAnswer {
  return { kind: "refused", reason };
}
