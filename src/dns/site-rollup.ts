/**
 * Finds the sites of the domains that shaping blocks speak of, so that a block for one domain holds for every domain that
 * shares its mail hosts.
 *
 * Runs on   the main thread
 * Owns      a timer
 * When full as many questions as the shaping files have blocks, through the resolver's own bounds
 * On failure a domain that cannot be resolved keeps what was learnt of it; its block applies to itself at least
 */
import type { MxRouter } from "./router.js";

const REFRESH_MS = 300_000;

/** What is learnt, and by whom: the compiled policy. */
export interface SiteLearner {
  readonly rollupDomains: readonly string[];
  learnSite(domain: string, site: string | null): boolean;
}

/** See the file's header. */
export class SiteRollup {
  readonly #learner: SiteLearner;
  readonly #router: MxRouter;
  readonly #timer: NodeJS.Timeout | null = null;

  constructor(learner: SiteLearner, router: MxRouter) {
    this.#learner = learner;
    this.#router = router;
    if (learner.rollupDomains.length === 0) return;
    this.#look();
    this.#timer = setInterval(() => this.#look(), REFRESH_MS);
    this.#timer.unref();
  }

  #look(): void {
    for (const domain of this.#learner.rollupDomains) {
      void this.#router.site(domain).then((site) => {
        if (site !== null) this.#learner.learnSite(domain, site);
      });
    }
  }

  /** Asks no more. */
  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }
}
