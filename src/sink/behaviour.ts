import { type Random, randomInt } from "../base/random.js";
import type { DomainRates, SinkProfile, SinkReply } from "./options.js";

/**
 * Decides what a provider answers. The session asks at each step of the dialogue; null means that all is well. A provider
 * with a memory (quotas, greylisting, reputation) is another implementation of this.
 */
export interface Behaviour {
  /** Asked at MAIL. */
  mail(sender: string): SinkReply | null;
  /** Asked at RCPT, once for each recipient; `domain` is in lower case, empty when there is none. */
  recipient(local: string, domain: string): SinkReply | null;
}

const SHUTTING_DOWN: SinkReply = { code: 421, text: "4.3.2 Service is going away, try again later" };

/** What is answered where a profile lists nothing. */
const COMMON_BOUNCES: readonly SinkReply[] = [
  { code: 550, text: "5.1.1 The account that you tried to reach does not exist" },
  { code: 552, text: "5.2.2 The mailbox is full" },
  { code: 554, text: "5.7.1 Message refused by local policy" },
];
const COMMON_DEFERS: readonly SinkReply[] = [
  { code: 451, text: "4.7.1 Greylisted, try again later" },
  { code: 452, text: "4.2.2 The mailbox is over its quota for now" },
  { code: 450, text: "4.2.1 The mailbox receives mail too quickly" },
];

/** Everything of a table under one key, without the surprises of keys that every object answers to. */
function own<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

/**
 * The behaviour of a profile: by local part (`450-x` answers 450, `250-x` accepts, `tempfail` and `permfail` anywhere in
 * it refuse), else by the percentages of the recipient's domain.
 */
export class ProfileBehaviour implements Behaviour {
  readonly #profile: SinkProfile;
  readonly #random: Random;

  constructor(profile: SinkProfile, random: Random) {
    this.#profile = profile;
    this.#random = random;
  }

  mail(_sender: string): SinkReply | null {
    const percent = this.#profile.closePercent;
    return percent > 0 && this.#random.next() * 100 < percent ? SHUTTING_DOWN : null;
  }

  recipient(local: string, domain: string): SinkReply | null {
    const asked = /^([245]\d\d)-/.exec(local);
    if (asked !== null) {
      const code = Number(asked[1]);
      return code < 400 ? null : { code, text: `${Math.floor(code / 100)}.0.0 Answered as the recipient asks` };
    }
    if (local.includes("permfail")) return this.#bounce(domain);
    if (local.includes("tempfail")) return this.#defer(domain);
    const rates: DomainRates = own(this.#profile.domains, domain) ?? this.#profile.fallback;
    if (rates.bounce === 0 && rates.defer === 0) return null;
    const drawn = this.#random.next() * 100;
    if (drawn < rates.bounce) return this.#bounce(domain);
    return drawn < rates.bounce + rates.defer ? this.#defer(domain) : null;
  }

  #bounce(domain: string): SinkReply {
    const listed = this.#profile.bounceReplies;
    return this.#one(own(listed, domain) ?? own(listed, "default") ?? COMMON_BOUNCES);
  }

  #defer(domain: string): SinkReply {
    const listed = this.#profile.deferReplies;
    return this.#one(own(listed, domain) ?? own(listed, "default") ?? COMMON_DEFERS);
  }

  #one(replies: readonly SinkReply[]): SinkReply {
    return replies[randomInt(this.#random, 0, replies.length - 1)] as SinkReply;
  }
}
