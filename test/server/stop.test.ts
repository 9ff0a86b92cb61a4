/** The end of a server: what is still there while it stops, and what becomes of a step that fails. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { loadNative } from "../../src/native/load.js";
import { ChildServer } from "../support/child-server.js";
import { makeDir, removeDir, startServer, until, writeConfig } from "../support/server.js";
import { connectAndGreet } from "../support/smtp-client.js";

test("HTTP says that the server is stopping until its workers have ended", async (t) => {
  const dir = makeDir();
  writeConfig(dir, {});
  const server = await ChildServer.start(dir);
  t.after(async () => {
    await server.kill();
    removeDir(dir);
  });
  const sender = await connectAndGreet(server.port);
  for (const line of ["MAIL FROM:<s@x.example>", "RCPT TO:<r@x.example>", "DATA"]) await sender.say(line);
  server.order("spool.commit hang");
  const answered = sender.say("Subject: x\r\n\r\ntext\r\n.");
  // A session that waits for a command is ended when its worker is told to stop.
  const idle = connect(server.port, "127.0.0.1").resume();
  await once(idle, "data");
  const ended = once(idle, "close");
  const gone = once(server.process, "exit");
  server.process.kill("SIGTERM");
  await ended;
  const answer = await fetch(`${server.http}/healthz/ready`);
  assert.equal(answer.status, 503);
  assert.deepEqual(await answer.json(), { status: "stopping" });
  server.order();
  assert.match(await answered, /^250 /);
  assert.deepEqual(await gone, [0, null]);
});

test("a step of the stop that fails is told, and the server has stopped all the same", async () => {
  const dir = makeDir();
  writeConfig(dir, {});
  const native = loadNative();
  const lockFile = native.lockFile.bind(native);
  Object.defineProperty(native, "lockFile", {
    configurable: true,
    value: (path: string) => {
      const lock = lockFile(path);
      return (
        lock && {
          release: () => {
            lock.release();
            throw new Error("the lock does not open");
          },
        }
      );
    },
  });
  const started = await startServer(dir);
  Reflect.deleteProperty(native, "lockFile");
  let stopped = false;
  void started.server.stopped.then(() => (stopped = true));
  await started.stop();
  await until(() => stopped, "the end");
  assert.deepEqual(started.notices, ["not all was stopped: the lock does not open"]);
  removeDir(dir);
});
