import type { PathConfig, ShapingBlock, ShapingRules } from "./compiled.js";
import { PATH_DEFAULTS } from "./path-settings.js";

/** Most combinations of blocks that are remembered; a full memory is emptied, for the answers are cheap to make again. */
const MAX_REMEMBERED = 16_384;

interface NumberedBlock {
  readonly number: number;
  readonly block: ShapingBlock;
}

/**
 * The shaping rules. Layers of (domain, source, site), each later one winning:
 *
 *     built-in defaults → default → default's source → blocks of the site → block of the exact domain
 *       → source in the blocks of the site → source in the block of the domain
 *
 * A block with `mx_rollup` is for its own domain and for every domain whose mail goes to the same site; which site that
 * is only DNS knows, so somebody who has asked it tells {@link learnSite}. Paths that meet the same layers share one object.
 */
export class PathRules {
  readonly #rules: ShapingRules;
  readonly #exact = new Map<string, NumberedBlock>();
  readonly #rollup = new Map<string, NumberedBlock>();
  readonly #siteOfDomain = new Map<string, string>();
  /** Blocks of a site, in file order. */
  readonly #blocksOfSite = new Map<string, readonly NumberedBlock[]>();
  readonly #made = new Map<string, PathConfig>();

  constructor(rules: ShapingRules) {
    this.#rules = rules;
    for (const [number, block] of rules.blocks.entries()) {
      (block.mxRollup ? this.#rollup : this.#exact).set(block.domain, { number, block });
    }
  }

  /** The domains whose sites want to be known: those of the blocks with `mx_rollup`, in file order. */
  get rollupDomains(): readonly string[] {
    return [...this.#rollup.keys()];
  }

  /** The site that was learnt of a rollup domain; null when none was. */
  siteOf(domain: string): string | null {
    return this.#siteOfDomain.get(domain) ?? null;
  }

  /**
   * Tells the site that the mail of a rollup domain goes to; to be repeated when it changes, null when it has none (any
   * more). Returns whether an answer of {@link resolve} may have changed. Domains without such a block are ignored.
   */
  learnSite(domain: string, site: string | null): boolean {
    const known = this.#siteOfDomain.get(domain) ?? null;
    if (!this.#rollup.has(domain) || known === site) return false;
    if (site === null) this.#siteOfDomain.delete(domain);
    else this.#siteOfDomain.set(domain, site);
    if (known !== null) this.#gather(known);
    if (site !== null) this.#gather(site);
    return true;
  }

  #gather(site: string): void {
    const blocks = [...this.#rollup.values()].filter(({ block }) => this.#siteOfDomain.get(block.domain) === site);
    if (blocks.length === 0) this.#blocksOfSite.delete(site);
    else this.#blocksOfSite.set(site, blocks);
  }

  /** The options of one path, complete. `domain` in lower case. */
  resolve(domain: string, source: string, site: string): PathConfig {
    const rolled = this.#rolledFor(domain, site);
    const exact = this.#exact.get(domain);
    const blocks = exact === undefined ? rolled : [...rolled, exact];
    const key = `${blocks.map(({ number }) => number).join()} ${source}`;
    let config = this.#made.get(key);
    if (config === undefined) {
      if (this.#made.size >= MAX_REMEMBERED) this.#made.clear();
      config = this.#merge(blocks, source);
      this.#made.set(key, config);
    }
    return config;
  }

  /**
   * Whether the domain has options that other domains with the same hosts have not: those of a block of its own, or of one
   * for its site while it is not known that this is the site.
   */
  standsAlone(domain: string, site: string): boolean {
    const own = this.#rollup.get(domain);
    return this.#exact.has(domain) || (own !== undefined && !(this.#blocksOfSite.get(site) ?? []).includes(own));
  }

  /** The rollup blocks of the site, and of the domain itself when DNS has not been asked yet. */
  #rolledFor(domain: string, site: string): readonly NumberedBlock[] {
    const ofSite = this.#blocksOfSite.get(site) ?? [];
    const own = this.#rollup.get(domain);
    if (own === undefined || ofSite.includes(own)) return ofSite;
    return [...ofSite, own].sort((a, b) => a.number - b.number);
  }

  #merge(blocks: readonly NumberedBlock[], source: string): PathConfig {
    let given: Partial<PathConfig> = { ...this.#rules.base, ...ofSource(this.#rules.baseSources, source) };
    for (const { block } of blocks) given = { ...given, ...block.options };
    for (const { block } of blocks) given = { ...given, ...ofSource(block.sources, source) };
    return { ...PATH_DEFAULTS, ...given };
  }
}

function ofSource(
  sources: Readonly<Record<string, Partial<PathConfig>>> | undefined,
  source: string,
): Partial<PathConfig> {
  return sources !== undefined && Object.hasOwn(sources, source) ? (sources[source] ?? {}) : {};
}
