import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { ShardCompaction } from "../protocol/messages.js";
import type { Access } from "./access.js";

/** What became of a spool that was to be compacted. */
export interface CompactedSpool {
  readonly shards: readonly ShardCompaction[];
  /** What went wrong beside the shards, one line each. */
  readonly errors: readonly string[];
}

/** `data` and `meta` are the names that clients of other servers know; here both lie in every shard. */
const NAMES = ["spool", "data", "meta"] as const;
const compactRequest = z.object({ name: z.enum(NAMES).optional() }).nullish();

/** `POST /api/admin/spool-compact/v1`: answered when all shards are done; 200 when all went well, else 503. */
export function addSpoolRoutes(app: FastifyInstance, access: Access, compact: () => Promise<CompactedSpool>): void {
  app.post("/api/admin/spool-compact/v1", { preHandler: access.trustedOnly }, async (request, reply) => {
    const asked = compactRequest.safeParse(request.body);
    if (!asked.success) {
      return reply.code(400).send({ error: `name: one of ${NAMES.map((name) => `"${name}"`).join(", ")}, or nothing` });
    }
    const { shards, errors } = await compact();
    const good = errors.length === 0 && shards.every(({ error }) => error === null);
    return reply.code(good ? 200 : 503).send({
      before_bytes: shards.reduce((sum, { beforeBytes }) => sum + beforeBytes, 0),
      after_bytes: shards.reduce((sum, { afterBytes }) => sum + afterBytes, 0),
      shards: shards.map(({ shard, beforeBytes, afterBytes, heldMs, error }) => ({
        shard,
        before_bytes: beforeBytes,
        after_bytes: afterBytes,
        held_ms: Math.round(heldMs * 10) / 10,
        error,
      })),
      errors,
    });
  });
}
