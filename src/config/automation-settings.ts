import { isTable } from "./check.js";
import { choice, duration, flag, type Kind, list, rate } from "./kinds.js";
import { quote } from "./problems.js";
import { checkedTable, required, setting } from "./table.js";
import { stringKind, text } from "./text-kinds.js";

/**
 * The shape of automation rules (reactions of the traffic to replies). The rules are not in force in this version; their
 * shape is checked so that a file that is good here stays good.
 */

const anything: Kind<unknown> = { name: "value", bounds: "", schema: {}, read: (value) => value, print: () => "" };

const optionChange = checkedTable([
  required("name", text({ max: 100 }), { about: "an option of the path" }),
  required("value", anything, { about: "its value" }),
]);

const plainAction = choice("Suspend", "SuspendTenant", "SuspendCampaign", "Bounce", "BounceTenant", "BounceCampaign");

const changeAction = checkedTable([
  setting("SetConfig", optionChange, { fallback: null, about: "Changes an option of the path." }),
  setting("SetDomainConfig", optionChange, { fallback: null, about: "Changes an option of the domain." }),
]);

const thresholdTrigger = checkedTable([required("Threshold", rate(), { about: "matches in a time" })]);

/** A word, or a table. */
function wordOrTable(word: Kind<unknown>, tableKind: Kind<unknown>): Kind<unknown> {
  return {
    ...word,
    schema: { anyOf: [word.schema, tableKind.schema] },
    read: (value, at, check) => (isTable(value) ? tableKind : word).read(value, at, check),
  };
}

/** One value, or a list of them. */
function oneOrMore(kind: Kind<unknown>, what: string): Kind<unknown> {
  const several = list(kind, { what, min: 1, max: 1000 });
  return {
    ...kind,
    schema: { anyOf: [kind.schema, several.schema] },
    read: (value, at, check) => (Array.isArray(value) ? several : kind).read(value, at, check),
  };
}

function regex(): Kind<string> {
  return stringKind(
    "regular expression",
    "a regular expression",
    (written) => {
      try {
        new RegExp(written);
        return written;
      } catch {
        return null;
      }
    },
    quote,
  );
}

/** One rule of `automation`. */
export const automationRule: Kind<true> = checkedTable([
  required("regex", oneOrMore(regex(), "regular expressions"), { about: "what the reply must match" }),
  required("action", oneOrMore(wordOrTable(plainAction, changeAction), "actions"), { about: "what is done" }),
  setting("trigger", wordOrTable(choice("Immediate"), thresholdTrigger), {
    fallback: "Immediate",
    about: "After how many matches.",
  }),
  required("duration", duration({ min: 1000, max: 366 * 86_400_000 }), { about: "how long the action lasts" }),
  setting("match_internal", flag(), { fallback: false, about: "Whether local failures match too." }),
  setting("mode", choice("enforce", "observe"), { fallback: "enforce", about: "Whether to act or only to report." }),
]);
