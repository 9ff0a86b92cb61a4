import { isTable } from "./check.js";
import { type Kind, STRING_SCHEMA } from "./kinds.js";

/**
 * A text that nobody is shown: written out, `{ env = "NAME" }` or `{ file = "path" }`. It is counted in bytes of UTF-8,
 * and neither a message about it nor the reference page repeats it.
 */
export function secret({ max }: { max: number }): Kind<string> {
  const expected = `a secret of 1 to ${max} bytes, written out or as { env = "NAME" } or { file = "path" }`;
  return {
    name: "secret",
    bounds: `1 to ${max} bytes`,
    schema: STRING_SCHEMA,
    read(value, at, check) {
      if (typeof value !== "string" && !isTable(value)) return check.error(at, `expected ${expected}`);
      const text = check.string(value, at, expected);
      if (text === undefined) return undefined;
      const bytes = Buffer.byteLength(text);
      return bytes >= 1 && bytes <= max ? text : check.error(at, `found ${bytes} bytes, expected ${expected}`);
    },
    print: () => "a secret",
  };
}
