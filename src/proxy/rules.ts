import { createHash, timingSafeEqual } from "node:crypto";
import { NetworkSet } from "../base/cidr.js";
import type { ProxyOptions } from "./options.js";

/** Who may do what with a proxy. */
export class Rules {
  readonly #clients: NetworkSet;
  readonly #sources: NetworkSet | null;
  readonly #destinations: NetworkSet | null;
  readonly #ports: ReadonlySet<number>;
  readonly #users: ReadonlyMap<string, string>;

  /** The networks were checked before. */
  constructor(options: Pick<ProxyOptions, "clients" | "sources" | "destinations" | "ports" | "users">) {
    this.#clients = new NetworkSet(options.clients);
    this.#sources = options.sources.length === 0 ? null : new NetworkSet(options.sources);
    this.#destinations = options.destinations.length === 0 ? null : new NetworkSet(options.destinations);
    this.#ports = new Set(options.ports);
    this.#users = options.users;
  }

  mayUse(client: string): boolean {
    return this.#clients.has(client);
  }

  mayBind(address: string): boolean {
    return this.#sources === null || this.#sources.has(address);
  }

  mayConnect(address: string, port: number): boolean {
    const known = this.#destinations === null || this.#destinations.has(address);
    return known && (this.#ports.size === 0 || this.#ports.has(port));
  }

  /** Takes as long for a wrong password as for a right one, and as long for a user that there is none of. */
  knows(username: string, password: string): boolean {
    const expected = this.#users.get(username);
    const same = timingSafeEqual(digest(expected ?? ""), digest(password));
    return expected !== undefined && same;
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text, "utf8").digest();
}
