/**
 * The schema and the reference page are made from the settings and committed. After a change of the settings,
 * `HIKYAKU_WRITE=1` in the environment of this test writes them anew.
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { jsonSchema, shapingJsonSchema } from "../../src/config/json-schema.js";
import { settingsReference } from "../../src/config/reference-page.js";
import { projectRoot } from "../support/root.js";

const published: readonly (readonly [string, () => string])[] = [
  ["schema/hikyaku.schema.json", jsonSchema],
  ["schema/shaping.schema.json", shapingJsonSchema],
  ["docs/reference/settings.md", settingsReference],
];

for (const [name, make] of published) {
  test(`${name} is current`, () => {
    const path = join(projectRoot, name);
    if (process.env["HIKYAKU_WRITE"] === "1") {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, make());
    }
    assert.equal(readFileSync(path, "utf8"), make());
  });
}

test("the schema describes each setting", () => {
  const schema: unknown = JSON.parse(jsonSchema());
  const at = (path: readonly string[]) =>
    path.reduce<unknown>(
      (value, key) => (typeof value === "object" && value !== null ? Reflect.get(value, key) : null),
      schema,
    );
  const listener = ["properties", "smtp_listener", "items", "properties"];
  assert.deepEqual(at(["additionalProperties"]), false);
  assert.deepEqual(at([...listener, "max_connections", "type"]), "integer");
  assert.deepEqual(at([...listener, "max_connections", "maximum"]), 1_000_000);
  assert.deepEqual(at([...listener, "invalid_line_endings", "enum"]), ["Deny", "Allow", "Fix"]);
  assert.deepEqual(at([...listener, "tls_certificate", "not"]), {});
  assert.match(String(at(["properties", "spool", "properties", "path", "description"])), /Directory of the spool/);
  assert.deepEqual(at(["properties", "source", "items", "required"]), ["name"]);
});
