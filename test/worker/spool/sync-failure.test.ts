import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { canTrace } from "../../support/untestable.js";
import { scratch } from "./helpers.js";

const CHILD = fileURLToPath(new URL("./sync-failure-child.js", import.meta.url));

class Talk {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(spoolPath: string) {
    this.process = spawn(process.execPath, [CHILD, spoolPath], { stdio: ["pipe", "pipe", "ignore"] });
    const reader: Interface = createInterface({ input: this.process.stdout! });
    this.#lines = reader[Symbol.asyncIterator]();
  }

  async answer(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    assert.ok(!done, "the child is alive");
    return JSON.parse(value);
  }

  ask(command: string): Promise<unknown> {
    this.process.stdin!.write(`${command}\n`);
    return this.answer();
  }
}

test("when the disk refuses a sync, the mail is refused, is absent, and stays absent over a restart", async (t) => {
  if (!canTrace(t)) return;
  const path = scratch(t);
  const child = new Talk(path);
  t.after(() => child.process.kill("SIGKILL"));
  await child.answer();
  assert.deepEqual(await child.ask("store"), { stored: true });

  const inject = ["-f", "-p", String(child.process.pid), "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"];
  const strace = spawn("strace", inject, { stdio: ["ignore", "ignore", "pipe"] });
  t.after(() => strace.kill("SIGKILL"));
  await once(strace.stderr!, "data");
  assert.deepEqual(await child.ask("store"), { stored: false, code: "spool.commit-failed" });
  const broken = { count: 2, last: "missing", fault: "spool.commit-failed", unhandled: [], data: true };
  assert.deepEqual(await child.ask("state"), broken);
  assert.deepEqual(await child.ask("store"), { stored: false, code: "spool.commit-failed" });
  const gone = once(strace, "exit");
  strace.kill("SIGINT");
  await gone;

  assert.deepEqual(await child.ask("reopen"), { fault: null });
  assert.deepEqual(await child.ask("state"), { ...broken, fault: null });
  assert.deepEqual(await child.ask("store"), { stored: true });
  assert.deepEqual(await child.ask("state"), { ...broken, count: 4, last: "message", fault: null });
  child.process.kill("SIGKILL");
  await once(child.process, "exit");

  const again = new Talk(path);
  t.after(() => again.process.kill("SIGKILL"));
  await again.answer();
  const after = await again.ask("state");
  assert.deepEqual(after, { ...broken, count: 4, fault: null });
});
