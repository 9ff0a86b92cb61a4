/**
 * Where a scheduled queue's mail goes: to the built-in sink in sandbox mode, to the hosts that the operator wrote, or to
 * what DNS says of the domain.
 *
 * Runs on   the main thread
 * Owns      the main thread's resolver and its cache, and the policies of domains about TLS
 * When full the resolver's bounds: what is too much fails as `dns.busy` and is asked again later; likewise for policies
 * On failure an answer of kind `failed`, whose reason ends up in log records
 */
import type { Clock } from "../base/clock.js";
import type { CompiledConfig, DnsConfig, ListenAddress, MxListEntry, QueueConfig } from "../config/compiled.js";
import type { Route } from "../protocol/messages.js";
import type { QueueName } from "../protocol/queue-name.js";
import type { TlsOutcome } from "../protocol/tls-policy.js";
import { type Meter, NO_METER } from "./meter.js";
import { explicitRoute, resolveRoute } from "./mx.js";
import { openPolicies, type Policies } from "./open-policies.js";
import { openResolver, reopenResolver } from "./open-resolver.js";
import type { Resolver } from "./resolver.js";

/** Whom the router tells what. */
export interface RouterEvents {
  /** After each answer that came later. */
  afterwards(): void;
  /** Something that an operator must know; one line. */
  notice(line: string): void;
  /** A policy of a domain that could not be had. */
  report(outcome: TlsOutcome): void;
}

/** See the file's header. */
export class MxRouter {
  #resolver: Resolver;
  /** What the last reload asked for. */
  #wanted: DnsConfig | null = null;
  readonly #clock: Clock;
  readonly #meter: Meter;
  readonly #policies: Policies | null;
  readonly #sink: ListenAddress | null;
  readonly #ownNames: readonly string[];
  readonly #events: RouterEvents;
  readonly #explicitRoutes = new WeakMap<readonly MxListEntry[], Route>();

  /**
   * @param sink where everything goes in sandbox mode, null in live mode.
   * @throws {Fault} `config.unreadable`, `config.invalid` for the static zone file and the file of authorities.
   */
  constructor(
    config: CompiledConfig,
    clock: Clock,
    sink: ListenAddress | null,
    events: RouterEvents,
    meter: Meter = NO_METER,
  ) {
    this.#clock = clock;
    this.#meter = meter;
    this.#resolver = openResolver(config.dns, clock, meter);
    // The sandbox asks nobody.
    this.#policies = sink === null ? openPolicies(config, clock, () => this.#resolver, events) : null;
    this.#sink = sink;
    this.#ownNames = [config.node.hostname, ...config.smtpListeners.map((listener) => listener.hostname)];
    this.#events = events;
  }

  /** Answers exactly once: at once for what needs no question, later for what DNS must tell. */
  route(queue: QueueName, config: QueueConfig, answer: (route: Route) => void): void {
    const domain = queue.routingDomain ?? queue.domain;
    if (this.#sink !== null) {
      answer(sandboxRoute(domain, this.#sink));
    } else if (config.protocol.kind === "smtp" && config.protocol.mxList !== null) {
      answer(this.#explicit(config.protocol.mxList, config.protocol.listSecure));
    } else {
      void this.#resolve(domain).then((route) => {
        answer(route);
        this.#events.afterwards();
      });
    }
  }

  /** One route for all queues of a list: a hundred thousand of them share its hosts and its key. */
  #explicit(mxList: readonly MxListEntry[], secure: boolean): Route {
    const known = this.#explicitRoutes.get(mxList);
    if (known?.kind === "hosts" && known.secure === secure) return known;
    const route = explicitRoute(mxList, secure);
    this.#explicitRoutes.set(mxList, route);
    return route;
  }

  #resolve(domain: string): Promise<Route> {
    const policies = this.#policies;
    const policyOf = policies === null ? undefined : (name: string) => policies.of(name);
    return resolveRoute(this.#resolver, domain, this.#ownNames, policyOf);
  }

  /** Asks for no more policies, and writes what has changed of them. */
  async stop(): Promise<void> {
    await this.#policies?.stop();
  }

  /**
   * A reload: other servers are asked, for policies too, as soon as the zone file has been read; policies that are known
   * stay. Says whether they are: a later reload may have come before it.
   */
  async reconfigure(config: DnsConfig): Promise<boolean> {
    this.#wanted = config;
    const resolver = await reopenResolver(config, this.#clock, this.#meter);
    if (this.#wanted !== config) return false;
    this.#resolver = resolver;
    return true;
  }

  /** Memory is scarce: forgets every answer. */
  forget(): void {
    this.#resolver.flush();
  }

  /** The site of a domain as DNS tells it, null when it has none or cannot be found out now. */
  async site(domain: string): Promise<string | null> {
    if (this.#sink !== null) return domain;
    const route = await this.#resolve(domain);
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
    sts: "none",
    secure: false,
    ttlMs: Number.POSITIVE_INFINITY,
  };
}
