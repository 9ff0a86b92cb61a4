import { automationRule } from "./automation-settings.js";
import type { PathConfig } from "./compiled.js";
import { flag, type Kind, limit, list, rate } from "./kinds.js";
import { laterPathSettings, pathOptions } from "./path-settings.js";
import { quote } from "./problems.js";
import {
  checkedTable,
  type Draft,
  later,
  mapOf,
  required,
  type Setting,
  setting,
  type TableReader,
  table,
} from "./table.js";
import { text } from "./text-kinds.js";

const readySettings = pathOptions.map((one) => one.setting);
const sourceKey = { what: "sources", read: (written: string) => written, max: 10_000 };

/** Puts every path option that the reader's table gives into one draft. */
function readOptions(reader: TableReader): Draft<PathConfig> {
  const options: Draft<PathConfig> = {};
  for (const one of pathOptions) one.assign(options, reader);
  return options;
}

const sourceBlock = table([...readySettings, ...laterPathSettings], readOptions);

const block = {
  rollup: setting("mx_rollup", flag(), {
    fallback: true,
    about: "The block is for every domain whose mail goes to the same hosts, not only for this one.",
  }),
  replaceBase: setting("replace_base", flag(), {
    fallback: false,
    about: "Forgets what earlier files said in the block of this name.",
  }),
  sources: setting("sources", mapOf(sourceBlock, sourceKey), { fallback: {}, about: "Options for single sources." }),
  unset: setting("unset", list(optionName(), { what: "options", max: 100 }), {
    fallback: [] as readonly string[],
    about: "Options that go back to their built-in defaults.",
  }),
  automation: later("automation", list(automationRule, { what: "rules" }), "Reactions to replies."),
};

/** The name of an option that `unset` may take back. */
function optionName(): Kind<string> {
  const known = [...readySettings, ...laterPathSettings].map((one) => one.key);
  return {
    name: "option",
    bounds: "",
    schema: { enum: known },
    read(value, at, check) {
      if (typeof value !== "string") return check.wrong(at, value, "the name of an option");
      return known.includes(value) ? value : check.unknownName(at, "option", value, known);
    },
    print: quote,
  };
}

/** One destination block as written. */
export interface WrittenBlock {
  /** Null when the block does not say. */
  readonly mxRollup: boolean | null;
  readonly replaceBase: boolean;
  readonly options: Draft<PathConfig>;
  readonly sources: Readonly<Record<string, Draft<PathConfig>>>;
}

/** The settings of a destination block: the path options, and the block's own. */
export const blockSettings: readonly Setting<unknown, unknown>[] = [
  ...readySettings,
  ...Object.values(block),
  ...laterPathSettings,
];

/** `["default"]` and `["example.com"]` of a shaping file. */
export const blockTable: Kind<WrittenBlock> = table(blockSettings, (reader) => {
  const options = readOptions(reader);
  for (const [index, name] of reader.get(block.unset).entries()) {
    const one = pathOptions.find((candidate) => candidate.setting.key === name);
    if (one === undefined) continue;
    if (reader.has(one.setting))
      reader.check.error([...reader.path(block.unset), index], `${name} is set in this block`);
    one.reset(options);
  }
  return {
    mxRollup: reader.given(block.rollup) ?? null,
    replaceBase: reader.get(block.replaceBase),
    options,
    sources: reader.get(block.sources),
  };
});

const providerMatch = checkedTable([
  setting("DomainSuffix", text({ max: 254 }), { fallback: null, about: "The domain ends with this." }),
  setting("MXSuffix", text({ max: 254 }), { fallback: null, about: "Every MX host ends with this." }),
  setting("HostName", text({ max: 254 }), { fallback: null, about: "An MX host of this name." }),
]);

const providerSource = checkedTable([
  ...readySettings,
  ...laterPathSettings,
  later("provider_source_selection_rate", rate(), "Choices of this source."),
]);

/** `[provider."NAME"]`: its shape is checked; it is not in force in this version. */
export const providerTable: Kind<true> = checkedTable([
  required("match", list(providerMatch, { what: "matches", min: 1 }), { about: "which domains belong to it" }),
  block.replaceBase,
  setting("sources", mapOf(providerSource, sourceKey), { fallback: {}, about: "Options for single sources." }),
  block.automation,
  later("provider_connection_limit", limit({ max: 1_000_000 }), "Connections to the provider, per source."),
  later("provider_max_message_rate", rate(), "Messages to the provider, per source."),
  ...readySettings,
  ...laterPathSettings,
]);
