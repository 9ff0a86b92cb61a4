/**
 * Names of scheduled queues: `campaign:tenant@domain!routing_domain`.
 *
 *     campaign   tenant   name
 *        –          –     domain
 *        –          T     T@domain
 *        C          T     C:T@domain
 *        C          –     C:@domain          (and `!routing_domain` behind any of them)
 */
export interface QueueName {
  readonly domain: string;
  readonly tenant: string | null;
  readonly campaign: string | null;
  readonly routingDomain: string | null;
}

/** Prints a queue's name. */
export function formatQueueName(name: QueueName): string {
  const routed = name.routingDomain === null ? name.domain : `${name.domain}!${name.routingDomain}`;
  if (name.campaign !== null) return `${name.campaign}:${name.tenant ?? ""}@${routed}`;
  return name.tenant === null ? routed : `${name.tenant}@${routed}`;
}

/** Takes a queue's name apart: at the first `@`, then the left part at its first `:`, the right one at its first `!`. */
export function parseQueueName(text: string): QueueName {
  const at = text.indexOf("@");
  const left = at < 0 ? null : text.slice(0, at);
  const right = at < 0 ? text : text.slice(at + 1);
  const bang = right.indexOf("!");
  const domain = bang < 0 ? right : right.slice(0, bang);
  const routingDomain = bang < 0 ? null : right.slice(bang + 1);
  if (left === null) return { domain, tenant: null, campaign: null, routingDomain };
  const colon = left.indexOf(":");
  if (colon < 0) return { domain, tenant: left === "" ? null : left, campaign: null, routingDomain };
  const tenant = left.slice(colon + 1);
  return { domain, tenant: tenant === "" ? null : tenant, campaign: left.slice(0, colon), routingDomain };
}
