import { NetworkSet } from "../../base/cidr.js";
import type { SmtpListenerConfig } from "../../config/compiled.js";

/**
 * Who may send where through a listener: a client in `relay_hosts` anywhere, a client in the sender's domain's
 * `relay_from` with that sender, and everybody to a domain with `relay_to`. `*` stands for domains without an entry.
 */
export class RelayRules {
  readonly #relayHosts: NetworkSet;
  readonly #domains = new Map<string, { readonly relayTo: boolean; readonly relayFrom: NetworkSet }>();

  constructor(listener: SmtpListenerConfig) {
    this.#relayHosts = new NetworkSet(listener.relayHosts);
    for (const [domain, rule] of Object.entries(listener.domains)) {
      this.#domains.set(domain, { relayTo: rule.relayTo, relayFrom: new NetworkSet(rule.relayFrom) });
    }
  }

  /** Whether this client may relay anywhere; asked once per connection. */
  trusts(clientAddress: string): boolean {
    return this.#relayHosts.has(clientAddress);
  }

  /** Whether an untrusted client may send from one domain to another; both lower-case, "" for none. */
  allows(clientAddress: string, senderDomain: string, recipientDomain: string): boolean {
    return (
      this.#rule(recipientDomain)?.relayTo === true || this.#rule(senderDomain)?.relayFrom.has(clientAddress) === true
    );
  }

  #rule(domain: string): { readonly relayTo: boolean; readonly relayFrom: NetworkSet } | undefined {
    return this.#domains.get(domain) ?? this.#domains.get("*");
  }
}
