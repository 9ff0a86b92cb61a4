import { INDIRECT, type Json } from "./kinds.js";
import { rootTable } from "./settings.js";
import { blockTable, providerTable } from "./shaping-settings.js";

const DIALECT = "http://json-schema.org/draft-07/schema#";

/** What `{ "$ref": "#/definitions/indirect" }` means: a string from the environment or from a file; and the other, from Vault. */
const definitions: Json = {
  indirect: {
    type: "object",
    additionalProperties: false,
    minProperties: 1,
    maxProperties: 1,
    properties: {
      env: { type: "string", description: "Environment variable that holds the value." },
      file: { type: "string", description: "File that holds the value." },
    },
  },
  vault: {
    type: "object",
    additionalProperties: false,
    required: ["vault_mount", "vault_path"],
    properties: {
      vault_mount: { type: "string", description: "Vault's engine of key and value pairs, of either version." },
      vault_path: { type: "string", description: "The secret in it, without data/." },
      vault_key: { type: "string", default: "key", description: "Which of its values." },
      vault_address: { type: "string", description: "URL of Vault; VAULT_ADDR when left out." },
      vault_token: { anyOf: [{ type: "string" }, INDIRECT], description: "VAULT_TOKEN when left out." },
    },
  },
};

/** The JSON Schema of `hikyaku.toml`, for editors: `schema/hikyaku.schema.json`. */
export function jsonSchema(): string {
  return print({ $schema: DIALECT, title: "hikyaku.toml", ...asObject(rootTable.schema), definitions });
}

/** The JSON Schema of shaping files: `schema/shaping.schema.json`. */
export function shapingJsonSchema(): string {
  const provider = { type: "object", additionalProperties: providerTable.schema };
  return print({
    $schema: DIALECT,
    title: "shaping.toml",
    type: "object",
    properties: { provider },
    additionalProperties: blockTable.schema,
    definitions,
  });
}

function asObject(schema: Json): { readonly [key: string]: Json } {
  return typeof schema === "object" && schema !== null && !("length" in schema) ? schema : {};
}

function print(schema: Json): string {
  return `${JSON.stringify(schema, null, 2)}\n`;
}
