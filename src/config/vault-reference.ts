import { type Check, isTable, namesVault } from "./check.js";
import type { Path } from "./problems.js";
import type { VaultReference } from "./secret-source.js";

const KEYS = ["vault_mount", "vault_path", "vault_key", "vault_address", "vault_token"];
const EXPECTED =
  "a secret in Vault has vault_mount and vault_path, and where needed vault_key, vault_address, vault_token";

/** Reads `{ vault_mount = …, vault_path = …, … }`. Undefined after having reported what is wrong. */
export function readVaultReference(
  value: Readonly<Record<string, unknown>>,
  at: Path,
  check: Check,
): VaultReference | undefined {
  for (const key of Object.keys(value)) if (!KEYS.includes(key)) return check.unknownKey([...at, key], KEYS);
  const mount = trimmed(value["vault_mount"]);
  const path = trimmed(value["vault_path"]);
  const key = value["vault_key"] ?? "key";
  const address = value["vault_address"] ?? null;
  if (!isPlace(mount) || !isPlace(path)) return check.error(at, EXPECTED);
  if (typeof key !== "string" || key === "" || key.length > 200) return check.error([...at, "vault_key"], EXPECTED);
  if (address !== null && !isServer(address)) {
    return check.wrong([...at, "vault_address"], address, "a URL such as https://vault.example:8200");
  }
  const token = value["vault_token"];
  if (token === undefined) return { address, token: null, mount, path, key };
  const place = [...at, "vault_token"];
  if (namesVault(token)) return check.error(place, "the token for Vault cannot come from Vault");
  if (typeof token !== "string" && !isTable(token)) return check.error(place, "expected a token");
  const text = check.string(token, place, "a token");
  if (text === undefined) return undefined;
  return isToken(text) ? { address, token: text, mount, path, key } : check.error(place, "that is no token");
}

/** True for the URL of a server: nothing of a user in it, and nothing after its path. */
export function isServer(value: unknown): value is string {
  if (typeof value !== "string" || !/^https?:\/\//i.test(value) || !URL.canParse(value)) return false;
  const { username, password, search, hash } = new URL(value);
  return `${username}${password}${search}${hash}` === "";
}

/** True for what a header can carry. */
export function isToken(text: string): boolean {
  return /^[\x21-\x7e]{1,4096}$/.test(text);
}

function trimmed(value: unknown): string {
  return typeof value === "string" ? value.replace(/^\/+|\/+$/g, "") : "";
}

/** Words between slashes; none of them leads elsewhere. */
function isPlace(text: string): boolean {
  if (text.length > 1000 || /[\x00-\x1f\x7f]/.test(text)) return false;
  return text.split("/").every((word) => word !== "" && word !== "." && word !== "..");
}
