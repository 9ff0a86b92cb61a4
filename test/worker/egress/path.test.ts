/** What a worker makes of a path's definition: the name in EHLO, and how it connects. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PathId } from "../../../src/base/brands.js";
import { ManualClock } from "../../../src/base/clock.js";
import type { PathDefinition } from "../../../src/protocol/messages.js";
import { EgressPath } from "../../../src/worker/egress/path.js";
import { pathConfig } from "../../scheduler/support.js";

function path(
  ehlo: { path?: string; source?: string },
  source: Partial<PathDefinition["source"]> = {},
  more: Partial<PathDefinition> = {},
): EgressPath {
  const definition: PathDefinition = {
    id: 1 as PathId,
    name: "s->site@smtp_client",
    site: "site",
    source: {
      name: "s",
      address: null,
      freeBind: false,
      ehloDomain: ehlo.source ?? null,
      remotePort: null,
      proxy: null,
      ...source,
    },
    pool: "p",
    hosts: [],
    explicit: false,
    sts: "none",
    secure: false,
    config: pathConfig({ ehloDomain: ehlo.path ?? null }),
    ...more,
  };
  return new EgressPath(definition, "host.example", new ManualClock());
}

test("the name in EHLO is the path's, else the source's, else the host's", () => {
  assert.equal(path({ path: "path.example", source: "source.example" }).ehloDomain, "path.example");
  assert.equal(path({ source: "source.example" }).ehloDomain, "source.example");
  assert.equal(path({}).ehloDomain, "host.example");
});

test("an address is bound; that no interface needs to have it is said by free_bind alone", () => {
  const target = { name: "mx", address: "192.0.2.9", port: 25, unix: null, dane: { kind: "none" } } as const;
  const options = (source: Partial<PathDefinition["source"]>) => path({}, source).connectOptions(target);
  assert.equal(options({ address: "192.0.2.1" }).localAddress, "192.0.2.1");
  assert.equal(options({ address: "192.0.2.1" }).freeBind, false);
  assert.equal(options({ address: "192.0.2.1", freeBind: true }).freeBind, true);
  assert.equal(options({ freeBind: true }).freeBind, false, "there is nothing to bind");
});

test("what domains demand by MTA-STS and DANE holds where the path heeds it", () => {
  const demands = (enableMtaSts: boolean, enableDane: boolean) => {
    const { sts, dane } = path(
      {},
      {},
      { sts: "enforce", secure: true, config: pathConfig({ enableMtaSts, enableDane }) },
    );
    return { sts, dane };
  };
  assert.deepEqual(demands(true, true), { sts: "enforce", dane: true });
  assert.deepEqual(demands(false, true), { sts: "none", dane: true });
  assert.deepEqual(demands(true, false), { sts: "enforce", dane: false });
});
