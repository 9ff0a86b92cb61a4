import { assert } from "../../base/assert.js";

/** A field of a shared layout: 4-byte unsigned, or 8-byte float. Bytes of variable length follow the fixed part. */
export type FieldType = "u32" | "f64";

/** A layout: the byte offset of each field, and the size of the fixed part in bytes (a multiple of 8). */
export type Layout<Fields extends Record<string, FieldType>> = { readonly [Name in keyof Fields]: number } & {
  readonly bytes: number;
};

/**
 * Declares the layout of a record in shared memory and proves it while loading: 8-byte fields come before 4-byte ones,
 * so that nothing is misaligned, nothing overlaps, and no two threads can disagree about a field's place.
 * @throws {Panic} when the order of the fields would misalign one.
 */
export function layout<Fields extends Record<string, FieldType>>(name: string, fields: Fields): Layout<Fields> {
  const offsets: Record<string, number> = {};
  let at = 0;
  for (const [field, type] of Object.entries(fields)) {
    const size = type === "f64" ? 8 : 4;
    assert(at % size === 0, `layout ${name}: field ${field} is misaligned; put f64 fields first`);
    assert(field !== "bytes", `layout ${name}: a field cannot be called bytes`);
    offsets[field] = at;
    at += size;
  }
  offsets["bytes"] = (at + 7) & ~7;
  return Object.freeze(offsets) as Layout<Fields>;
}
