import { isTable } from "./check.js";
import type { QueueConfig, QueueProtocol, QueueRule } from "./compiled.js";
import { UNSPECIFIED } from "./egress-settings.js";
import { choice, duration, flag, integer, type Kind, list, rate } from "./kinds.js";
import { mxListEntry } from "./mx-list.js";
import { type Draft, later, optionsOf, refused, setting, table } from "./table.js";
import { itemName, pattern, text } from "./text-kinds.js";

const SECOND = 1000;
const MINUTE = 60_000;
const DAY = 86_400_000;

/** What a scheduled queue does when no rule says otherwise. */
export const QUEUE_DEFAULTS: QueueConfig = {
  retryIntervalMs: 20 * MINUTE,
  maxRetryIntervalMs: null,
  maxAgeMs: 7 * DAY,
  egressPool: UNSPECIFIED,
  protocol: { kind: "smtp", mxList: null, listSecure: false },
  reapIntervalMs: 10 * MINUTE,
  priority: 0,
  weight: 1,
  providerName: null,
};

const smtp = {
  mxList: setting("mx_list", list(mxListEntry(), { what: "hosts", min: 1, max: 100 }), {
    fallback: null,
    fallbackText: "the MX hosts of the domain",
    about: "Hosts to deliver to, tried in this order, instead of the domain's MX hosts.",
  }),
  secure: setting("treat_mx_list_as_secure", flag(), {
    fallback: false,
    about: "`mx_list` counts as secure, so that `enable_dane` holds for its hosts.",
  }),
};

const smtpTable: Kind<QueueProtocol> = table(Object.values(smtp), (reader) => ({
  kind: "smtp",
  mxList: reader.get(smtp.mxList),
  listSecure: reader.get(smtp.secure),
}));

const protocolChoices = {
  smtp: setting("smtp", smtpTable, { fallback: null, about: "SMTP to the domain's MX hosts or to listed hosts." }),
  http: refused("http", "delivery by HTTP"),
  amqp: refused("amqp", "delivery by AMQP"),
  maildirPath: refused("maildir_path", "delivery to a maildir"),
  dirMode: refused("dir_mode", "delivery to a maildir"),
  fileMode: refused("file_mode", "delivery to a maildir"),
  custom: refused("custom", "delivery by policy"),
  customLua: refused("custom_lua", "delivery by policy"),
  xfer: refused("xfer", "transfer to another node"),
};

const protocolTable: Kind<QueueProtocol> = table(Object.values(protocolChoices), (reader) => {
  if (!reader.has(protocolChoices.smtp)) return { kind: "smtp", mxList: null, listSecure: false };
  return reader.given(protocolChoices.smtp);
});

function protocolKind(): Kind<QueueProtocol> {
  return {
    name: 'table or "null"',
    bounds: "",
    schema: { anyOf: [protocolTable.schema, { enum: ["null"] }] },
    settings: Object.values(protocolChoices),
    read(value, at, check) {
      if (value === "null") return { kind: "null" };
      return isTable(value)
        ? protocolTable.read(value, at, check)
        : check.wrong(at, value, '"null" (discard) or a table such as { smtp = { mx_list = ["host:25"] } }');
    },
    print: (value) => (value.kind === "null" ? '"null"' : "SMTP to the MX hosts"),
  };
}

const option = optionsOf(QUEUE_DEFAULTS);

/** The options of a scheduled queue that are in force. */
export const queueOptions = [
  option("retry_interval", "retryIntervalMs", duration({ min: SECOND, max: 30 * DAY }), "Base of the back-off."),
  option(
    "max_retry_interval",
    "maxRetryIntervalMs",
    duration({ min: SECOND, max: 365 * DAY }),
    "Ceiling of each retry interval.",
  ),
  option(
    "max_age",
    "maxAgeMs",
    duration({ min: SECOND, max: 365 * DAY }),
    "Age at which a message expires, unless it carries its own expiry. It expires as soon as an attempt fails whose " +
      "successor would come later than that; with doubling intervals that can be at half of this age, so give " +
      "`max_retry_interval` too, which bounds how much earlier it is.",
  ),
  option("egress_pool", "egressPool", itemName(), "Pool of sources that the messages leave from."),
  option("protocol", "protocol", protocolKind(), 'How the messages leave; "null" discards them.'),
  option(
    "reap_interval",
    "reapIntervalMs",
    duration({ min: SECOND, max: DAY }),
    "An empty queue is forgotten after this.",
  ),
  option(
    "priority",
    "priority",
    integer({ min: -100, max: 100 }),
    "Served first among the queues of a path: a higher number goes before a lower one.",
  ),
  option("weight", "weight", integer({ min: 1, max: 1000 }), "Share of a path among queues of one priority."),
  option("provider_name", "providerName", text({ max: 100 }), "Label of metrics and log records."),
];

const criteria = {
  domain: setting("domain", pattern("a domain"), { fallback: "*", about: "Domain of the queue." }),
  tenant: setting("tenant", pattern("a tenant"), { fallback: "*", about: "Tenant of the queue." }),
  campaign: setting("campaign", pattern("a campaign"), { fallback: "*", about: "Campaign of the queue." }),
};

interface Criteria {
  readonly domain: string;
  readonly tenant: string;
  readonly campaign: string;
}

const criteriaTable: Kind<Criteria> = table(Object.values(criteria), (reader) => ({
  domain: reader.get(criteria.domain).toLowerCase(),
  tenant: reader.get(criteria.tenant),
  campaign: reader.get(criteria.campaign),
}));

const match = setting("match", criteriaTable, {
  fallback: { domain: "*", tenant: "*", campaign: "*" } satisfies Criteria,
  fallbackText: "every queue",
  about: 'Queues that this rule is for: exact texts, "*" or nothing for any.',
});

const shrink = {
  interval: setting("interval", duration({ min: 0, max: 365 * DAY }), {
    fallback: 0,
    about: "Time to the next attempt.",
  }),
  policy: setting("policy", choice("ShrinkDataAndMeta", "ShrinkData", "NoShrink"), {
    fallback: "ShrinkDataAndMeta" as const,
    about: "What leaves memory.",
  }),
};

const shrinkTable = table(Object.values(shrink), (reader) => reader.get(shrink.policy));

const laterSettings = [
  later("max_message_rate", rate(), "Messages that leave this queue for a path."),
  later("refresh_interval", duration({ min: SECOND, max: DAY }), "Rules are live; nothing is refreshed."),
  later("refresh_strategy", choice("Ttl", "Epoch"), "Rules are live; nothing is refreshed."),
  later(
    "strategy",
    choice("SingletonTimerWheel", "TimerWheel", "SkipList", "SingletonTimerWheelV2"),
    "There is one timer wheel.",
  ),
  later("timerwheel_tick_interval", duration({ min: 1, max: DAY }), "There is one timer wheel."),
  later("shrink_policy", list(shrinkTable, { what: "policies" }), "Waiting messages are never held in memory."),
];

/** `[[queue]]`: a rule for scheduled queues. */
export const queueTable: Kind<QueueRule> = table(
  [match, ...queueOptions.map((one) => one.setting), ...laterSettings],
  (reader) => {
    const options: Draft<QueueConfig> = {};
    for (const one of queueOptions) one.assign(options, reader);
    const { retryIntervalMs, maxRetryIntervalMs } = options;
    if (
      retryIntervalMs !== undefined &&
      typeof maxRetryIntervalMs === "number" &&
      maxRetryIntervalMs < retryIntervalMs
    ) {
      reader.check.error([...reader.at, "max_retry_interval"], "is shorter than retry_interval");
    }
    return { ...reader.get(match), options };
  },
);
