/** Every cell of the TLS matrix, and what DANE and MTA-STS make of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { TlsMode } from "../../../../src/config/compiled.js";
import type { DaneState, StsState } from "../../../../src/protocol/tls-policy.js";
import { type TlsDemand, tlsDemand } from "../../../../src/worker/egress/tls/tls-demand.js";

const MODES: readonly TlsMode[] = [
  "Disabled",
  "Opportunistic",
  "OpportunisticInsecure",
  "Required",
  "RequiredInsecure",
];

/** `STARTTLS, verify, when refused, when failed`. */
function text({ startTls, verify, clearWhenRefused, whenFailed }: TlsDemand): string {
  if (startTls === "never") return "clear";
  return `${startTls} ${verify}${clearWhenRefused ? " refused:clear" : ""} failed:${whenFailed}`;
}

const NO_DANE = "none";

/** Columns: nothing known; broken; reconnect asked for; reconnect asked for and broken. */
const matrix: readonly (readonly [TlsMode, string, string, string, string])[] = [
  ["Disabled", "clear", "clear", "clear", "clear"],
  ["Opportunistic", "offered name failed:remember", "clear", "offered name failed:clear", "clear"],
  [
    "OpportunisticInsecure",
    "offered none refused:clear failed:clear",
    "clear",
    "offered none refused:clear failed:clear",
    "clear",
  ],
  [
    "Required",
    "required name failed:fail",
    "required name failed:fail",
    "required name failed:fail",
    "required name failed:fail",
  ],
  [
    "RequiredInsecure",
    "required none failed:fail",
    "required none failed:fail",
    "required none failed:fail",
    "required none failed:fail",
  ],
];

for (const [mode, ...columns] of matrix) {
  test(`enable_tls = ${mode}`, () => {
    const cells = [
      { broken: false, reconnect: false },
      { broken: true, reconnect: false },
      { broken: false, reconnect: true },
      { broken: true, reconnect: true },
    ].map((cell) => text(tlsDemand({ mode, clear: false, sts: "none", dane: NO_DANE, ...cell })));
    assert.deepEqual(cells, columns);
  });
}

/** By policy: what each mode comes to, in the order of MODES. */
const policies: readonly (readonly [StsState, DaneState["kind"], readonly string[]])[] = [
  ["none", "usable", Array(5).fill("required dane failed:fail")],
  ["testing", "usable", Array(5).fill("required dane failed:fail")],
  ["enforce", "usable", Array(5).fill("required dane failed:fail")],
  ["enforce", "none", Array(5).fill("required name failed:fail")],
  ["enforce", "unusable", Array(5).fill("required name failed:fail")],
  [
    "none",
    "unusable",
    [
      "required none failed:fail",
      "required none failed:fail",
      "required none failed:fail",
      "required name failed:fail",
      "required none failed:fail",
    ],
  ],
  [
    "testing",
    "none",
    [
      "offered none refused:clear failed:clear",
      "offered none refused:clear failed:clear",
      "offered none refused:clear failed:clear",
      "required name failed:fail",
      "required none failed:fail",
    ],
  ],
];

for (const [sts, dane, expected] of policies) {
  test(`MTA-STS ${sts}, DANE ${dane}`, () => {
    const found = MODES.map((mode) =>
      text(tlsDemand({ mode, broken: false, clear: false, reconnect: false, sts, dane })),
    );
    assert.deepEqual(found, expected);
  });
}

test("nothing that is remembered or asked for lowers what is demanded", () => {
  const question = fc.record({
    mode: fc.constantFrom(...MODES),
    broken: fc.boolean(),
    clear: fc.boolean(),
    reconnect: fc.boolean(),
    sts: fc.constantFrom<StsState>("none", "testing", "enforce"),
    dane: fc.constantFrom<DaneState["kind"]>("none", "usable", "unusable"),
  });
  fc.assert(
    fc.property(question, (asked) => {
      const { mode, sts, dane } = asked;
      const demand = tlsDemand(asked);
      const strict = mode === "Required" || mode === "RequiredInsecure" || sts === "enforce" || dane !== "none";
      assert.equal(demand.startTls === "required", strict);
      if (!strict) return;
      assert.deepEqual([demand.whenFailed, demand.clearWhenRefused], ["fail", false]);
      if (dane === "usable") assert.equal(demand.verify, "dane");
      else if (mode === "Required" || sts === "enforce") assert.equal(demand.verify, "name");
    }),
  );
});
