/** What an operator is shown of a ready queue. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inspectReadyQueue } from "../../src/admin/ready-queue-routes.js";
import { Harness, hosts } from "../scheduler/harness.js";

/** Workers that say nothing. */
const nobody = { ask: () => Promise.resolve({ views: new Map<number, never>(), silent: [] }) };

async function shown(tlsPrivateKey: string): Promise<string> {
  const world = new Harness();
  world.routes.set("a.example", hosts("site"));
  world.paths.set("site", { smtpAuthUsername: "me", smtpAuthPassword: "hunter2", tlsPrivateKey });
  world.accept("a.example");
  world.turns();
  return JSON.stringify(await inspectReadyQueue(world.scheduler.core, nobody, "unspecified->site@smtp_client"));
}

test("neither a password nor a key that is written out is shown, but that there is one", async () => {
  const text = await shown("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n");
  assert.match(text, /"smtpAuthUsername":"me"/);
  assert.doesNotMatch(text, /hunter2|c2VjcmV0|BEGIN/);
  assert.match(text, /"smtpAuthPassword":"\(hidden\)"/);
  assert.match(text, /"tlsPrivateKey":"\(hidden\)"/);
});

test("a key's file is shown", async () => {
  assert.match(await shown("/etc/key.pem"), /"tlsPrivateKey":"\/etc\/key\.pem"/);
});
