import type { SharedState } from "./layout/shared-state.js";
import { Counter } from "./metrics.js";

/** Most part of the sockets that either direction may have, so that a flood of clients does not end deliveries. */
const ONE_WAY_SHARE = 0.75;
/** Part of the sockets from which on clients hear 421: the rest is for hearing it, which takes a socket for a moment. */
const REFUSE_SHARE = 15 / 16;

/** What new clients meet: they are served, they hear 421, or they wait in the kernel's queue. */
export type ClientRoom = "served" | "refused" | "waiting";

/** By how many sockets all threads have open, and `more` that are coming: see `maxSockets`. */
export function clientRoom(shared: SharedState, more: number): ClientRoom {
  const { maxSockets } = shared;
  if (maxSockets === 0) return "served";
  const sockets = shared.sum(Counter.sockets) + more;
  if (sockets >= maxSockets) return "waiting";
  const clients = shared.sum(Counter.connectionsOpen) + more;
  return clients > maxSockets * ONE_WAY_SHARE || sockets >= maxSockets * REFUSE_SHARE ? "refused" : "served";
}

/**
 * Sessions to mail hosts that may be open together.
 * @param socketsEach 2 in sandbox mode, where the other end is this process's as well.
 */
export function sessionLimit(shared: SharedState, socketsEach: number): number {
  const { maxSockets } = shared;
  if (maxSockets === 0) return Number.POSITIVE_INFINITY;
  const beside = Math.floor(maxSockets * REFUSE_SHARE) - shared.sum(Counter.connectionsOpen);
  return Math.max(1, Math.floor(Math.min(Math.floor(maxSockets * ONE_WAY_SHARE), beside) / socketsEach));
}
