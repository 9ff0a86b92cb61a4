import { rootSettings } from "./settings.js";
import { blockSettings } from "./shaping-settings.js";
import type { Setting } from "./table.js";

/** The reference page of every setting, in Markdown: `docs/reference/settings.md`. */
export function settingsReference(): string {
  const parts = [
    "# Settings",
    "",
    "<!-- Made from src/config; `HIKYAKU_WRITE=1` and the tests of that folder write it anew. -->",
    "",
    "Every setting of `hikyaku.toml` and of shaping files. *Start*: a change takes effect at the next start; *live*: at a",
    'reload too. Durations are written `"90s"`, `"1h 30m"` or as seconds, sizes `"20MiB"`, `"1GB"` or as bytes. Any free',
    'text may be `{ env = "NAME" }` or `{ file = "path" }`; secrets and PEM files may come from Vault, too: see',
    "[secrets.md](../secrets.md).",
    "",
    "## hikyaku.toml",
    "",
  ];
  const refused: Setting<unknown, unknown>[] = [];
  for (const section of rootSettings) {
    if (section.status === "refused") refused.push(section);
    else parts.push(...sectionLines(section));
  }
  parts.push("### Not available in this version", "", ...refused.map((one) => `- \`${one.key}\`: ${one.about}`), "");
  parts.push("## Shaping files", "");
  parts.push('Blocks `["default"]` and `["example.com"]`, and in them `sources.NAME`.', "");
  parts.push(...tableLines(blockSettings));
  return `${parts.join("\n").trimEnd()}\n`;
}

function sectionLines(section: Setting<unknown, unknown>): string[] {
  const title = section.kind.name.startsWith("list") ? `[[${section.key}]]` : `[${section.key}]`;
  return [`### \`${title}\``, "", section.about, "", ...tableLines(section.kind.settings ?? [])];
}

/** The settings of one table, then the tables inside it, then what is not there yet. */
function tableLines(settings: readonly Setting<unknown, unknown>[], prefix = ""): string[] {
  const ready = flatten(settings, prefix).filter(({ one }) => one.status === "ready");
  const lines = ["| Key | Type | Default | Bounds | Change | Meaning |", "|---|---|---|---|---|---|"];
  for (const { one, name } of ready) {
    const cells = [`\`${name}\``, one.kind.name, fallbackOf(one), one.kind.bounds, one.reload, sentence(one.about)];
    lines.push(`| ${cells.map(cell).join(" | ")} |`);
  }
  lines.push("");
  const others = flatten(settings, prefix).filter(({ one }) => one.status !== "ready");
  for (const [status, title] of [
    ["later", "Checked, but not in force in this version"],
    ["refused", "Not available in this version"],
  ] as const) {
    const names = others.filter(({ one }) => one.status === status).map(({ name }) => `\`${name}\``);
    if (names.length > 0) lines.push(`${title}: ${names.join(", ")}.`, "");
  }
  return lines;
}

interface Row {
  readonly one: Setting<unknown, unknown>;
  readonly name: string;
}

/** A table's settings and, behind each table or list of tables, its own, under their dotted names. */
function flatten(settings: readonly Setting<unknown, unknown>[], prefix: string): Row[] {
  return settings.flatMap((one) => {
    const name = `${prefix}${one.key}`;
    // The options that a block gives for one source are those of the block itself.
    if (one.key === "sources" || one.kind.settings === undefined || one.status !== "ready") return [{ one, name }];
    const free = one.kind.name.startsWith("table of") ? ".*" : "";
    return [{ one, name }, ...flatten(one.kind.settings, `${name}${free}.`)];
  });
}

function fallbackOf(one: Setting<unknown, unknown>): string {
  if (one.required) return "required";
  if (one.fallbackText !== "") return one.fallbackText;
  if (one.fallback === null || one.fallback === undefined) return "none";
  const text = one.kind.print(one.fallback);
  return text === "" ? "none" : `\`${text}\``;
}

function sentence(text: string): string {
  const begun = text.slice(0, 1).toUpperCase() + text.slice(1);
  return begun.endsWith(".") ? begun : `${begun}.`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
