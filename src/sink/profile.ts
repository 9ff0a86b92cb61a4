import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parse, TomlError } from "smol-toml";
import { causeOf, Fault, messageOf } from "../base/fault.js";
import { Check } from "../config/check.js";
import { choice, duration, integer, type Kind, list, size } from "../config/kinds.js";
import { formatProblems, Problems } from "../config/problems.js";
import { mapOf, required, setting, table } from "../config/table.js";
import { hostName, isHostName, text } from "../config/text-kinds.js";
import { tomlLines } from "../config/toml-lines.js";
import { DEFAULT_PROFILE, type DomainRates, type SinkProfile, type SinkReply } from "./options.js";
import { sinkAuth, sinkTls } from "./profile-security.js";

const MAX_DOMAINS = 10_000;
const MAX_REPLIES = 1000;
const MINUTE_MS = 60_000;

/** A share of 100, fractions allowed. */
function percent(): Kind<number> {
  return {
    name: "percentage",
    bounds: "0 to 100",
    schema: { type: "number", minimum: 0, maximum: 100 },
    read: (value, at, check) =>
      typeof value === "number" && value >= 0 && value <= 100
        ? value
        : check.wrong(at, value, "a number from 0 to 100"),
    print: String,
  };
}

const rates = {
  bounce: setting("bounce", percent(), { fallback: null, about: "Percent of recipients refused for good." }),
  defer: setting("defer", percent(), { fallback: null, about: "Percent of recipients refused for now." }),
};

/** A table of rates in which either may be missing. */
const partialRates = table(Object.values(rates), (reader) => {
  const bounce = reader.get(rates.bounce);
  const defer = reader.get(rates.defer);
  return { bounce, defer, at: reader.at };
});

/** One `{ code, msg }` with a code of the given class. */
function replyKind(low: number): Kind<SinkReply> {
  const reply = {
    code: required("code", integer({ min: low, max: low + 99 }), { about: "The reply's code." }),
    msg: required("msg", text({ max: 400 }), { about: "The reply's text, usually beginning with an enhanced code." }),
  };
  return table(Object.values(reply), (reader) => {
    const code = reader.get(reply.code);
    const msg = reader.get(reply.msg);
    return code === undefined || msg === undefined ? undefined : { code, text: msg };
  });
}

const domainKey = {
  what: "domains",
  read: (written: string) => (isHostName(written) ? written.toLowerCase().replace(/\.$/, "") : null),
  max: MAX_DOMAINS,
};
const replies = (low: number) =>
  mapOf(list(replyKind(low), { what: "replies", min: 1, max: MAX_REPLIES }), { ...domainKey, what: "domains" });

const server = {
  hostname: setting("hostname", hostName(), { fallback: DEFAULT_PROFILE.hostname, about: "Name in greetings." }),
  refuseAt: setting("refuse_at", choice("rcpt", "data"), {
    fallback: DEFAULT_PROFILE.refuseAt,
    about: "Where refusals are said: at RCPT, or at the end of the data.",
  }),
  greeting: setting("greeting", integer({ min: 220, max: 599 }), {
    fallback: DEFAULT_PROFILE.greeting,
    about: "Code of the greeting: 220, or a refusal from 400.",
  }),
  close: setting("close", percent(), {
    fallback: DEFAULT_PROFILE.closePercent,
    about: "Percent of transactions answered 421 at MAIL, with the connection closed.",
  }),
  latency: setting("latency", duration({ min: 0, max: MINUTE_MS }), {
    fallback: DEFAULT_PROFILE.latencyMs,
    about: "Waited before each group of replies.",
  }),
  tarpit: setting("tarpit", duration({ min: 0, max: MINUTE_MS }), {
    fallback: DEFAULT_PROFILE.tarpitMs,
    about: "Waited before a refusal, growing with each refusal of the connection.",
  }),
  maxMessageSize: setting("max_message_size", size({ min: 1024, max: 2 ** 40 }), {
    fallback: DEFAULT_PROFILE.maxMessageSize,
    about: "Largest content.",
  }),
  maxConnections: setting("max_connections", integer({ min: 1, max: 1_000_000 }), {
    fallback: DEFAULT_PROFILE.maxConnections,
    about: "Connections beyond are answered 421.",
  }),
  seed: setting("seed", integer({ min: 0, max: 0xffff_ffff }), {
    fallback: DEFAULT_PROFILE.seed,
    about: "Where chance begins.",
  }),
};

const serverTable = table(Object.values(server), (reader) => {
  const greeting = reader.get(server.greeting);
  if (greeting !== 220 && greeting < 400) {
    reader.check.wrong(reader.path(server.greeting), greeting, "220 or a code from 400 to 599");
  }
  return {
    hostname: reader.get(server.hostname),
    refuseAt: reader.get(server.refuseAt),
    greeting,
    closePercent: reader.get(server.close),
    latencyMs: reader.get(server.latency),
    tarpitMs: reader.get(server.tarpit),
    maxMessageSize: reader.get(server.maxMessageSize),
    maxConnections: reader.get(server.maxConnections),
    seed: reader.get(server.seed),
  };
});

const file = {
  server: setting("server", serverTable, { fallback: null, about: "The receiver itself." }),
  fallback: setting("default", partialRates, { fallback: null, about: "Rates of every domain." }),
  domain: setting("domain", mapOf(partialRates, domainKey), { fallback: {}, about: "Rates by domain." }),
  bounce: setting("bounce", replies(500), { fallback: {}, about: "Refusals for good to choose from, by domain." }),
  tls: setting("tls", sinkTls, { fallback: null, about: "STARTTLS; without it none is offered." }),
  auth: setting("auth", sinkAuth, { fallback: null, about: "AUTH; without it none is offered." }),
  defer: setting("defer", replies(400), { fallback: {}, about: "Refusals for now to choose from, by domain." }),
};

const fileTable = table(Object.values(file), (reader): SinkProfile => {
  const complete = (
    given: { bounce: number | null; defer: number | null; at: readonly (string | number)[] } | null,
    base: DomainRates,
  ) => {
    const whole = { bounce: given?.bounce ?? base.bounce, defer: given?.defer ?? base.defer };
    if (given !== null && whole.bounce + whole.defer > 100) {
      reader.check.error(given.at, `bounce ${whole.bounce} and defer ${whole.defer} are more than 100 together`);
    }
    return whole;
  };
  const fallback = complete(reader.get(file.fallback), DEFAULT_PROFILE.fallback);
  const domains: Record<string, DomainRates> = {};
  for (const [name, given] of Object.entries(reader.get(file.domain))) domains[name] = complete(given, fallback);
  return {
    ...DEFAULT_PROFILE,
    ...reader.get(file.server),
    fallback,
    domains,
    tls: reader.get(file.tls),
    auth: reader.get(file.auth),
    bounceReplies: reader.get(file.bounce),
    deferReplies: reader.get(file.defer),
  };
});

/**
 * Reads a profile from TOML text; `name` is the file as the user named it.
 * @throws {Fault} `config.invalid`, its message naming file, line and key of everything that is wrong.
 */
export function parseProfile(written: string, name: string): SinkProfile {
  const problems = new Problems();
  let value: unknown;
  try {
    value = parse(written);
  } catch (error) {
    const place = error instanceof TomlError ? `${name}:${error.line}:${error.column}` : name;
    const reason = messageOf(error).split("\n")[0] as string;
    throw new Fault("config.invalid", `${place}: ${reason}`);
  }
  const check = new Check(name, dirname(resolve(name)), tomlLines(written), problems, process.env);
  const profile = fileTable.read(value, [], check);
  if (profile === undefined || problems.errors.length > 0) {
    throw new Fault("config.invalid", formatProblems(problems.errors));
  }
  return profile;
}

/**
 * Reads a profile file.
 * @throws {Fault} `config.unreadable`, or `config.invalid` as {@link parseProfile}.
 */
export function loadProfile(name: string): SinkProfile {
  let written: string;
  try {
    written = readFileSync(name, "utf8");
  } catch (error) {
    throw new Fault("config.unreadable", `${name}: ${causeOf(error)}`, { cause: error });
  }
  return parseProfile(written, name);
}
