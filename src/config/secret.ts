import { type Check, isTable, namesVault } from "./check.js";
import { type Kind, SECRET_SCHEMA } from "./kinds.js";
import type { Path } from "./problems.js";
import { readVaultReference } from "./vault-reference.js";

/** Stands for a secret that was not read; a configuration with it is good for looking only. */
const UNREAD = "unread";

/**
 * A text that nobody is shown: written out, from the environment, a file or Vault. It is counted in bytes of UTF-8, and
 * neither a message about it nor the reference page repeats it.
 */
export function secret({ max }: { max: number }): Kind<string> {
  const expected = `a secret of 1 to ${max} bytes, written out or as { env }, { file } or { vault_mount, vault_path, vault_key }`;
  return {
    name: "secret",
    bounds: `1 to ${max} bytes`,
    schema: SECRET_SCHEMA,
    read(value, at, check) {
      const found = readSecret(value, at, check, expected);
      if (found === undefined) return undefined;
      const text = found.text ?? UNREAD;
      const bytes = Buffer.byteLength(text);
      return bytes >= 1 && bytes <= max ? text : check.error(at, `found ${bytes} bytes, expected ${expected}`);
    },
    print: () => "a secret",
  };
}

/** A text that nobody is shown. */
export interface Secret {
  /** Null while Vault was not asked for it. */
  readonly text: string | null;
  readonly isVaults: boolean;
}

/** Reads a secret, wherever it comes from. Undefined after having reported what is wrong, without repeating it. */
export function readSecret(value: unknown, at: Path, check: Check, expected: string): Secret | undefined {
  if (typeof value !== "string" && !isTable(value)) return check.error(at, `expected ${expected}`);
  if (!namesVault(value)) {
    const text = check.string(value, at, expected);
    return text === undefined ? undefined : { text, isVaults: false };
  }
  const reference = readVaultReference(value, at, check);
  if (reference === undefined) return undefined;
  const answer = check.secrets.read(reference);
  if (answer.kind === "refused") return check.error(at, answer.reason);
  return { text: answer.kind === "text" ? answer.text : null, isVaults: true };
}
