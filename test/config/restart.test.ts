/** Which changes of a file need a restart. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { needsRestart } from "../../src/config/restart.js";

test("what is marked start is named when it is written otherwise, at every depth; what is live is not", () => {
  const rows: readonly (readonly [before: object, after: object, expected: readonly string[]])[] = [
    [{}, {}, []],
    [{ node: { hostname: "a.example" } }, { node: { hostname: "b.example" } }, ["node.hostname"]],
    [{ node: { hostname: "a.example" } }, {}, ["node.hostname"]],
    [{}, { threads: { workers: 3 }, spool: { path: "x" } }, ["threads.workers", "spool.path"]],
    [{}, { source: [{ name: "a" }], queue: [{ weight: 2 }], shaping: { files: ["x.toml"] } }, []],
    [{}, { dns: { timeout: "3s" } }, []],
    [
      { smtp_listener: [{ listen: "127.0.0.1:25", max_message_size: "1MiB" }] },
      { smtp_listener: [{ listen: "127.0.0.1:26", max_message_size: "2MiB" }] },
      ["smtp_listener[0].listen"],
    ],
    [
      { smtp_listener: [{ listen: "127.0.0.1:25" }] },
      { smtp_listener: [{ listen: "127.0.0.1:25" }, { listen: "127.0.0.1:26" }] },
      ["smtp_listener[1].listen"],
    ],
    [{}, { http_listener: [{ trusted_hosts: ["::1"] }] }, ["http_listener[0].trusted_hosts"]],
    [{ node: "nonsense" }, { node: { hostname: "a.example" } }, ["node.hostname"]],
  ];
  for (const [before, after, expected] of rows) {
    const found = needsRestart({ ...before }, { ...after });
    assert.deepEqual(found, expected, JSON.stringify([before, after]));
  }
});
