import { parseDuration } from "../base/units.js";
import { VaultClient, type VaultPairs, VaultRefusal } from "./vault-client.js";

/** Most secrets that are asked for at once. */
const AT_ONCE = 8;
/** For one answer, unless VAULT_CLIENT_TIMEOUT says otherwise; and for all of them: a reload has half a minute. */
const ANSWER_MS = 5000;
const LONGEST_ANSWER_MS = 10_000;
const ALL_MS = 20_000;

/** A secret in a Vault, and the key to it. */
export interface VaultPlace {
  readonly address: string;
  readonly token: string;
  readonly mount: string;
  readonly path: string;
}

/** What was found there, or why it cannot be had. */
export type VaultFound = { readonly pairs: VaultPairs } | { readonly reason: string };

/**
 * Fetches secrets, a few at a time; one that could not be asked is not asked again. Never rejects.
 * @param wanted each with a name of the caller's own, by which it is answered.
 */
export async function fetchPlaces(
  wanted: readonly (readonly [string, VaultPlace])[],
  env: NodeJS.ProcessEnv,
): Promise<ReadonlyMap<string, VaultFound>> {
  const found = new Map<string, VaultFound>();
  const clients = new Map<string, VaultClient>();
  const unreachable = new Map<string, string>();
  const endMs = performance.now() + ALL_MS;
  const rows = [...wanted];
  const ask = async ({ address, token, mount, path }: VaultPlace): Promise<VaultFound> => {
    const id = JSON.stringify([address, token]);
    try {
      const client = clients.get(id) ?? clientOf(address, token, env);
      clients.set(id, client);
      return { pairs: await client.read(mount, path) };
    } catch (error) {
      if (!(error instanceof VaultRefusal)) throw error;
      if (error.unreachable) unreachable.set(address, error.message);
      return { reason: error.message };
    }
  };
  const next = async (): Promise<void> => {
    for (let row = rows.shift(); row !== undefined; row = rows.shift()) {
      const [id, place] = row;
      const late = performance.now() > endMs ? `not all of Vault was read within ${ALL_MS / 1000} s` : undefined;
      const reason = late ?? unreachable.get(place.address);
      found.set(id, reason === undefined ? await ask(place) : { reason });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  for (const client of clients.values()) client.close();
  return found;
}

/** @throws {VaultRefusal} when what the environment says of it cannot be used. */
function clientOf(address: string, token: string, env: NodeJS.ProcessEnv): VaultClient {
  const namespace = env["VAULT_NAMESPACE"] ?? "";
  const caFile = env["VAULT_CACERT"] ?? "";
  const written = env["VAULT_CLIENT_TIMEOUT"] ?? "";
  const timeoutMs = written === "" ? ANSWER_MS : parseDuration(/^\d+$/.test(written) ? `${written}s` : written);
  if (timeoutMs === null || timeoutMs < 1 || timeoutMs > LONGEST_ANSWER_MS) {
    throw new VaultRefusal(`VAULT_CLIENT_TIMEOUT is no duration from 1ms to ${LONGEST_ANSWER_MS / 1000}s`, true);
  }
  return new VaultClient({
    address,
    token,
    namespace: namespace === "" ? null : namespace,
    caFile: caFile === "" ? null : caFile,
    timeoutMs,
  });
}
