import type { SpoolKey } from "../base/brands.js";
import type { Random } from "../base/random.js";
import type { QueueConfig } from "../config/compiled.js";
import { createdMs } from "../protocol/message-id.js";

/** What {@link nextAttemptMs} returns when the message will be too old by then. */
export const EXPIRED = -1;

/** Longest jitter of a retry, and of a requeue that counts no attempt. */
const MAX_JITTER_MS = 60_000;
/** Back-off saturates here: a hundred years. */
const MAX_INTERVAL_MS = 3_155_760_000_000;

/** The part of a queue's options that plans retries. */
export type RetryOptions = Pick<QueueConfig, "retryIntervalMs" | "maxRetryIntervalMs" | "maxAgeMs">;

/**
 * The back-off after `attempts` attempts (from 0), without jitter: min(retry_interval × 2^n, max_retry_interval), in
 * whole seconds, saturating (reference §4). An interval under a second counts as one, or retries would spin.
 */
export function retryIntervalMs(options: RetryOptions, attempts: number): number {
  const doubled = options.retryIntervalMs * 2 ** attempts;
  const ceiling = options.maxRetryIntervalMs ?? MAX_INTERVAL_MS;
  return Math.max(1000, Math.floor(Math.min(doubled, ceiling, MAX_INTERVAL_MS) / 1000) * 1000);
}

/**
 * When to try again after a failed attempt: back-off with a jitter of ±½·M, M = min(retry_interval / 20, 60 s), so that
 * messages that failed together do not all come back together. `attempts` is the count *before* the failed one is
 * added (reference §4). Returns the steady clock's ms, or {@link EXPIRED} when age + delay exceeds `max_age`.
 */
export function nextAttemptMs(
  options: RetryOptions,
  key: SpoolKey,
  attempts: number,
  nowMs: number,
  random: Random,
): number {
  const spread = Math.min(options.retryIntervalMs / 20, MAX_JITTER_MS);
  const delayMs = Math.max(0, Math.round(retryIntervalMs(options, attempts) + (random.next() - 0.5) * spread));
  return ageMs(key, nowMs) + delayMs > options.maxAgeMs ? EXPIRED : nowMs + delayMs;
}

/**
 * The latest time that {@link nextAttemptMs} gives after `attempts` attempts (at least 1). A stored time beyond it was
 * planned under a clock that has been set back since, or under a longer interval: nobody should wait for that.
 */
export function latestRetryMs(options: RetryOptions, attempts: number, nowMs: number): number {
  const spread = Math.min(options.retryIntervalMs / 20, MAX_JITTER_MS);
  return nowMs + retryIntervalMs(options, attempts - 1) + Math.ceil(spread / 2);
}

/** The earliest time that {@link nextAttemptMs} gives. `attempts` is the count before the failed one is added. */
export function earliestRetryMs(options: RetryOptions, attempts: number, nowMs: number): number {
  const spread = Math.min(options.retryIntervalMs / 20, MAX_JITTER_MS);
  return nowMs + Math.ceil(Math.max(0, retryIntervalMs(options, attempts) - spread / 2));
}

/** When to look again at a message that was not tried: within a minute, spread evenly (reference §4). */
export function requeueMs(nowMs: number, random: Random): number {
  return nowMs + Math.floor(random.next() * MAX_JITTER_MS);
}

/** How long ago the message was received, ms. */
export function ageMs(key: SpoolKey, nowMs: number): number {
  return nowMs - createdMs(key);
}
