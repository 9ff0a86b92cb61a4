import { type Check, isReservedName, isTable } from "./check.js";
import type { PathConfig, ShapingBlock, ShapingRules } from "./compiled.js";
import type { Placed } from "./kinds.js";
import { type Path, quote } from "./problems.js";
import { blockSettings, blockTable, providerTable, type WrittenBlock } from "./shaping-settings.js";
import type { Draft } from "./table.js";
import { isHostName } from "./text-kinds.js";

interface Block {
  mxRollup: boolean;
  options: Draft<PathConfig>;
  sources: Record<string, Draft<PathConfig>>;
}

/** A source that a block names, to be compared with the sources that exist. */
export interface NamedSource extends Placed<string> {
  readonly check: Check;
}

/**
 * Merges shaping files in their order: inside a block a later value replaces an earlier one, `sources` merge source by
 * source, and `replace_base` begins the block anew.
 */
export class ShapingFiles {
  readonly #blocks = new Map<string, Block>();
  /** The sources that the blocks name, with their places. */
  readonly namedSources: NamedSource[] = [];

  /** Adds one file. */
  add(values: unknown, check: Check): void {
    if (!isTable(values)) {
      check.wrong([], values, "tables by domain");
      return;
    }
    for (const key of Object.keys(values)) {
      if (key === "provider") this.#providers(values[key], check);
      else this.#block(key, values[key], check);
    }
  }

  /** What the files say together. */
  rules(): ShapingRules {
    const base = this.#blocks.get("default");
    const blocks: ShapingBlock[] = [];
    for (const [domain, block] of this.#blocks) if (block !== base) blocks.push({ domain, ...block });
    return { base: base?.options ?? {}, baseSources: base?.sources ?? {}, blocks };
  }

  #providers(value: unknown, check: Check): void {
    if (!isTable(value)) {
      check.wrong(["provider"], value, 'tables by name, such as [provider."NAME"]');
      return;
    }
    for (const name of Object.keys(value)) {
      const at = ["provider", name];
      if (providerTable.read(value[name], at, check.withoutWarnings()) === true) {
        check.warn(at, "not in force in this version");
      }
    }
  }

  #block(key: string, value: unknown, check: Check): void {
    const at: Path = [key];
    const unquoted = unquotedDomain(key, value);
    if (unquoted !== null) {
      check.error(at, `a domain with dots needs quotes: [${quote(unquoted)}]`);
      return;
    }
    const domain = key.toLowerCase().replace(/\.$/, "");
    if (!isDomain(domain)) {
      check.error(at, `${quote(key)} is no domain`);
      return;
    }
    if (domain !== "default" && !domain.includes("."))
      check.warn(at, "a domain of a single label; were dots forgotten?");
    const written = blockTable.read(value, at, check);
    if (written === undefined) return;
    for (const name of Object.keys(written.sources)) {
      this.namedSources.push({ value: name, at: [key, "sources", name], check });
    }
    this.#merge(domain, written);
  }

  #merge(domain: string, written: WrittenBlock): void {
    const known = this.#blocks.get(domain);
    const block = known === undefined || written.replaceBase ? { mxRollup: true, options: {}, sources: {} } : known;
    this.#blocks.set(domain, block);
    block.mxRollup = written.mxRollup ?? block.mxRollup;
    Object.assign(block.options, written.options);
    for (const [name, options] of Object.entries(written.sources)) {
      block.sources[name] = { ...block.sources[name], ...options };
    }
  }
}

const blockKeys = new Set(blockSettings.map((one) => one.key));

/** `[gmail.com]` is read as a table `com` in a table `gmail`; returns what was meant, or null. */
function unquotedDomain(key: string, value: unknown): string | null {
  if (key.includes(".") || !isTable(value)) return null;
  const inner = Object.keys(value).find((name) => !blockKeys.has(name) && isTable(value[name]));
  return inner === undefined ? null : `${key}.${inner}`;
}

/** A host name, or one with letters beyond ASCII, which the router writes in ASCII when it looks it up. */
function isDomain(text: string): boolean {
  if (isReservedName(text)) return false;
  return (
    isHostName(text) ||
    (text.length <= 254 && /[^\x00-\x7f]/.test(text) && !/[\s\x00-\x2c\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]/.test(text))
  );
}
