/** Where Vault keeps a secret, as the configuration says it. */
export interface VaultReference {
  /** `https://vault.example:8200`, with a path where Vault stands behind one; null to take VAULT_ADDR. */
  readonly address: string | null;
  /** Null to take VAULT_TOKEN. */
  readonly token: string | null;
  /** Of the engine of key and value pairs, without slashes at its ends. */
  readonly mount: string;
  /** Inside the engine, as Vault's own command line has it: without `data/`. */
  readonly path: string;
  /** Which of the pairs. */
  readonly key: string;
}

/** What is known of a secret in Vault. */
export type VaultAnswer =
  | { readonly kind: "text"; readonly text: string }
  /** Why it cannot be had; never with the secret in it. */
  | { readonly kind: "refused"; readonly reason: string }
  /** Not asked for yet: what is made of the file has no secrets in it, and is good for looking only. */
  | { readonly kind: "unread" };

/** Where a reading of the configuration has its secrets from. */
export interface SecretSource {
  read(reference: VaultReference): VaultAnswer;
}

/** Asks nobody, and says so. */
export const NO_VAULT: SecretSource = {
  read: () => ({ kind: "refused", reason: "secrets from Vault are not for this file" }),
};

/** Asks nobody, and leaves the secrets out: for those who only want to know where a server listens, or keeps things. */
export const WITHOUT_SECRETS: SecretSource = { read: () => ({ kind: "unread" }) };
