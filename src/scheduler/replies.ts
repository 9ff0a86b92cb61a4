import type { EnhancedCode, ResponseText } from "../protocol/records.js";

/** Begins the text of replies that we made up about our own trouble; automation leaves them alone (reference §9, §18). */
const INTERNAL = "KumoMTA internal: ";

/** The message is older than `max_age` (reference §4). */
export const TOO_OLD: ResponseText = reply(551, [5, 4, 7], "the message is too old: delivery time expired");

/** It is not, but would be at its next attempt, so that there will be none (reference §4): often long before. */
export const NO_TIME_LEFT: ResponseText = reply(
  551,
  [5, 4, 7],
  "no attempt is left: by the next one the message would be too old, delivery time expired",
);

/** RFC 7505: the domain has published that it takes no mail. */
export const NULL_MX: ResponseText = reply(556, [5, 1, 10], "the recipient domain accepts no mail (null MX)");

/** NXDOMAIN from an authoritative source: final, so not retried. */
export const NO_SUCH_DOMAIN: ResponseText = reply(550, [5, 1, 2], "the recipient domain does not exist");

/** No connection of a path came up for too long (reference §16). */
export const TOO_MANY_FAILURES: ResponseText = reply(451, [4, 4, 1], "no answer from any host of the destination");

/** The pool of the queue has no source with a weight (reference §6, 6b). */
export const NO_SOURCE: ResponseText = reply(451, [4, 4, 4], `${INTERNAL}the egress pool has no sources`);

/** A queue of protocol `null` discards. */
export const DISCARDED: ResponseText = reply(250, [2, 0, 0], "discarded by the null queue");

/** The worker that had the message in hand died; nothing is known of the attempt (reference §9, `Delayed`). */
export const DROPPED: ResponseText = reply(
  400,
  null,
  `${INTERNAL}DispatcherDrop: the delivering thread ended before it told the outcome; due again at once`,
);

/** It was in the memory of a worker that died, and nowhere else (durability `deferred`). */
export const LOST: ResponseText = reply(551, [5, 3, 0], "lost with the thread that had it in memory");

/** The route could not be found (reference §6, 6c). */
export function noRoute(reason: string): ResponseText {
  return reply(451, [4, 4, 4], `${INTERNAL}${reason}`);
}

function reply(code: number, enhanced: EnhancedCode | null, content: string): ResponseText {
  return { code, enhanced, content, command: null };
}
