/**
 * Where a scheduled queue's mail goes: to the built-in sink in sandbox mode, to the hosts that the operator wrote, or to
 * what DNS says of the domain.
 *
 * Runs on   the main thread
 * Owns      the main thread's resolver and its cache
 * When full the resolver's bounds: what is too much fails as `dns.busy` and is asked again later
 * On failure an answer of kind `failed`, whose reason ends up in log records
 */
import type { Clock } from "../base/clock.js";
import type { CompiledConfig, DnsConfig, ListenAddress, MxListEntry, QueueConfig } from "../config/compiled.js";
import type { Route } from "../protocol/messages.js";
import type { QueueName } from "../protocol/queue-name.js";
import { explicitRoute, resolveRoute } from "./mx.js";
import { openResolver } from "./open-resolver.js";
import type { Resolver } from "./resolver.js";

/** See the file's header. */
export class MxRouter {
  #resolver: Resolver;
  readonly #clock: Clock;
  readonly #sink: ListenAddress | null;
  readonly #ownNames: readonly string[];
  readonly #afterwards: () => void;
  readonly #explicitRoutes = new WeakMap<readonly MxListEntry[], Route>();

  /**
   * @param sink where everything goes in sandbox mode, null in live mode.
   * @param afterwards called after each answer that came later.
   * @throws {Fault} `config.unreadable`, `config.invalid` for the static zone file.
   */
  constructor(config: CompiledConfig, clock: Clock, sink: ListenAddress | null, afterwards: () => void) {
    this.#clock = clock;
    this.#resolver = openResolver(config.dns, clock);
    this.#sink = sink;
    this.#ownNames = [config.node.hostname, ...config.smtpListeners.map((listener) => listener.hostname)];
    this.#afterwards = afterwards;
  }

  /** Answers exactly once: at once for what needs no question, later for what DNS must tell. */
  route(queue: QueueName, config: QueueConfig, answer: (route: Route) => void): void {
    const domain = queue.routingDomain ?? queue.domain;
    if (this.#sink !== null) {
      answer(sandboxRoute(domain, this.#sink));
    } else if (config.protocol.kind === "smtp" && config.protocol.mxList !== null) {
      answer(this.#explicit(config.protocol.mxList));
    } else {
      void resolveRoute(this.#resolver, domain, this.#ownNames).then((route) => {
        answer(route);
        this.#afterwards();
      });
    }
  }

  /** One route for all queues of a list: a hundred thousand of them share its hosts and its key. */
  #explicit(mxList: readonly MxListEntry[]): Route {
    const known = this.#explicitRoutes.get(mxList);
    if (known !== undefined) return known;
    const route = explicitRoute(mxList);
    this.#explicitRoutes.set(mxList, route);
    return route;
  }

  /** A reload: other servers are asked from now on. */
  reconfigure(config: DnsConfig): void {
    this.#resolver = openResolver(config, this.#clock);
  }

  /** Memory is scarce: forgets every answer. */
  forget(): void {
    this.#resolver.flush();
  }

  /** The site of a domain as DNS tells it, null when it has none or cannot be found out now. */
  async site(domain: string): Promise<string | null> {
    if (this.#sink !== null) return domain;
    const route = await resolveRoute(this.#resolver, domain, this.#ownNames);
    return route.kind === "hosts" ? route.site : null;
  }
}

/** Every domain is a site of its own, as in the real world, and all of them live in the sink. */
function sandboxRoute(domain: string, sink: ListenAddress): Route {
  const host = { preference: 0, name: domain, address: sink.host, port: sink.port, unix: null };
  return {
    kind: "hosts",
    site: domain,
    key: `sandbox:${domain}`,
    hosts: [host],
    explicit: true,
    ttlMs: Number.POSITIVE_INFINITY,
  };
}
