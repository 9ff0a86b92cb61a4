/** The rules of the house, checked on every file: who may import whom, and what no file may contain. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { projectRoot } from "./support/root.js";

const src = join(projectRoot, "src");

/** Folders from the top of the house to its ground; an import may only point down, or stay in its own folder. */
const FLOORS: readonly (readonly string[])[] = [
  ["cli"],
  ["server"],
  ["threads", "admin", "sink", "load", "proxy"],
  ["worker"],
  ["scheduler"],
  ["smtp", "mail", "shaping", "handshake"],
  ["dns", "ring", "native", "cluster"],
  ["config"],
  ["protocol"],
  ["base"],
];

/** Imports that the plan allows although they point up or sideways; each with its reason. */
const ALLOWED: readonly (readonly [from: string, to: string, reason: string])[] = [
  ["protocol/messages.ts", "config/compiled.ts", "a path's definition carries its compiled options; types only"],
  ["mail", "smtp", "both are engines; mail builds headers from what smtp learnt"],
];

/** Parts of a worker, composed by `worker/parts.ts` alone; they do not import each other. */
const WORKER_PARTS = ["ingress", "egress", "spool", "events"];

function files(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return files(path);
    return entry.name.endsWith(".ts") ? [path] : [];
  });
}

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

function importsOf(path: string): Import[] {
  const text = readFileSync(path, "utf8");
  const found: Import[] = [];
  for (const match of text.matchAll(/^\s*(?:import|export)\s+(type\s+)?([^;]*?)\bfrom\s+"(\.[^"]+)"/gms)) {
    const target = join(dirname(path), (match[3] as string).replace(/\.js$/, ".ts"));
    found.push({
      from: relative(src, path),
      to: relative(src, target),
      typeOnly: match[1] !== undefined,
    });
  }
  return found;
}

const sources = files(src);
const imports = sources.flatMap(importsOf);

function floor(path: string): number {
  const top = path.split("/")[0]?.replace(/\.ts$/, "") ?? "";
  const at = FLOORS.findIndex((names) => names.includes(top));
  assert.ok(at >= 0, `${path}: no floor of the house is called ${top}`);
  return at;
}

function folder(path: string): string {
  return path.includes("/") ? (path.split("/")[0] as string) : path.replace(/\.ts$/, "");
}

function allowed(edge: Import): boolean {
  return ALLOWED.some(
    ([from, to]) =>
      (edge.from === from || edge.from.startsWith(`${from}/`)) && (edge.to === to || edge.to.startsWith(`${to}/`)),
  );
}

/** Every import that points up or sideways. */
export function wrongDirections(edges: readonly Import[]): string[] {
  return edges
    .filter((edge) => folder(edge.from) !== folder(edge.to))
    .filter((edge) => floor(edge.from) >= floor(edge.to) && !allowed(edge))
    .map((edge) => `${edge.from} imports ${edge.to}`);
}

test("imports point down", () => {
  assert.ok(imports.length > 20, "the checker found the imports");
  assert.deepEqual(wrongDirections(imports), []);
  // The checker itself: an engine that reaches for a role is caught.
  assert.equal(wrongDirections([{ from: "smtp/x.ts", to: "worker/y.ts", typeOnly: false }]).length, 1);
});

test("engines do no input or output", () => {
  const engines = ["smtp", "mail", "shaping", "handshake", "scheduler"];
  const forbidden = /from "node:(net|tls|fs|dgram|http|https|timers|child_process|worker_threads)/;
  const clocks = /\b(Date\.now|performance\.now|setTimeout|setInterval|setImmediate|Math\.random)\b/;
  const found = sources
    .filter((path) => engines.includes(folder(relative(src, path))))
    .filter((path) => {
      const code = withoutComments(readFileSync(path, "utf8"));
      return forbidden.test(code) || clocks.test(code);
    });
  assert.deepEqual(found, []);
});

test("the parts of a worker meet only in the worker", () => {
  const wrong = imports
    .filter((edge) => edge.from.startsWith("worker/") && edge.to.startsWith("worker/"))
    .filter((edge) => {
      const [, from] = edge.from.split("/");
      const [, to] = edge.to.split("/");
      const crosses = from !== to && WORKER_PARTS.includes(from as string) && WORKER_PARTS.includes(to as string);
      return crosses && !edge.typeOnly;
    })
    .map((edge) => `${edge.from} imports ${edge.to}`);
  assert.deepEqual(wrong, []);
});

test("no cycles", () => {
  const next = new Map<string, string[]>();
  for (const edge of imports) {
    if (edge.typeOnly) continue;
    next.set(edge.from, [...(next.get(edge.from) ?? []), edge.to]);
  }
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    if (done.has(file)) return;
    assert.ok(!path.includes(file), `cycle: ${[...path.slice(path.indexOf(file)), file].join(" → ")}`);
    path.push(file);
    for (const target of next.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  };
  for (const file of next.keys()) visit(file);
});

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "$1");
}

test("no default exports, no barrels, no unfinished marks, no switched-off rules, no giants", () => {
  const wrong: string[] = [];
  for (const path of sources) {
    const text = readFileSync(path, "utf8");
    const name = relative(projectRoot, path);
    if (/^export default\b/m.test(text)) wrong.push(`${name}: default export`);
    if (/^export (\*|\{[^}]*\}) from/m.test(text)) wrong.push(`${name}: re-export`);
    if (/\b(TODO|FIXME|XXX|HACK)\b/.test(text)) wrong.push(`${name}: unfinished mark`);
    if (/@ts-ignore|@ts-expect-error|biome-ignore|eslint-disable/.test(text)) wrong.push(`${name}: rule switched off`);
    if (/:\s*any\b|\bas any\b/.test(withoutComments(text))) wrong.push(`${name}: any`);
    if (text.split("\n").length > 400) wrong.push(`${name}: longer than 400 lines`);
  }
  assert.deepEqual(wrong, []);
});

test("everything exported is documented", () => {
  const wrong: string[] = [];
  for (const path of sources) {
    const lines = readFileSync(path, "utf8").split("\n");
    lines.forEach((line, at) => {
      if (!/^export (async )?(function|class|interface|type|const|enum|abstract class)\b/.test(line)) return;
      const above = (lines[at - 1] ?? "").trim();
      if (!above.endsWith("*/")) wrong.push(`${relative(projectRoot, path)}:${at + 1}: ${line.slice(0, 80)}`);
    });
  }
  assert.deepEqual(wrong, []);
});

test("each dependency has its line", () => {
  const manifest = JSON.parse(readFileSync(join(projectRoot, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
    devDependencies: Record<string, string>;
  };
  const page = readFileSync(join(projectRoot, "docs", "dependencies.md"), "utf8");
  const missing = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies }).filter(
    (name) => !page.includes(`| \`${name}\` |`),
  );
  assert.deepEqual(missing, []);
});
