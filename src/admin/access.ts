import type { FastifyReply, FastifyRequest } from "fastify";
import { NetworkSet } from "../base/cidr.js";

/**
 * Who may ask the HTTP listener for what: liveness is for everybody, the rest is for trusted addresses. A browser that a
 * trusted person uses must not be led to change anything, so requests that another site made are refused.
 */
export class Access {
  readonly #trusted: NetworkSet;

  /** @param trustedHosts networks in CIDR notation. */
  constructor(trustedHosts: readonly string[]) {
    this.#trusted = new NetworkSet(trustedHosts);
  }

  /** A route's `preHandler`: answers 403 unless the peer is trusted and the request is its own. */
  readonly trustedOnly = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    if (!this.#trusted.has(request.socket.remoteAddress ?? "")) {
      await reply.code(403).send({ error: "this address is not in trusted_hosts" });
      return;
    }
    const { origin, host } = request.headers;
    if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) {
      await reply.code(403).send({ error: "requests from other sites are refused" });
    }
  };
}
