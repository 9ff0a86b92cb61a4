/** Each reason that a message can wait for is explained to operators. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { RECORD_KINDS } from "../../src/protocol/records.js";
import { projectRoot } from "../support/root.js";

/** The members of a union of strings in a source text; none when there is no union of that name. */
function members(source: string, union: string): string[] {
  const body = new RegExp(`^export type ${union} =([^;]*);`, "m").exec(source)?.[1] ?? "";
  return [...body.matchAll(/"([^"]+)"/g)].map((match) => match[1] as string);
}

/** The first cells of a page's tables that are one name in back quotes. */
function rows(page: string): string[] {
  return [...page.matchAll(/^\| `([^`|]+)` \|/gm)].map((match) => match[1] as string);
}

const source = readFileSync(join(projectRoot, "src", "protocol", "records.ts"), "utf8");

test("every wait reason has one row on its page, in the order of the source", () => {
  const reasons = members(source, "DelayReason");
  assert.ok(reasons.length >= 20, "the union was found");
  const page = readFileSync(join(projectRoot, "docs", "reference", "wait-reasons.md"), "utf8");
  assert.deepEqual(rows(page), reasons);
});

test("every kind of record has its section on its page", () => {
  const page = readFileSync(join(projectRoot, "docs", "reference", "log-records.md"), "utf8");
  assert.deepEqual(
    RECORD_KINDS.filter((kind) => !page.includes(`\n### ${kind}\n`)),
    [],
  );
});
