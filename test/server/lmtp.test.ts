/** LMTP over a unix socket, through a whole server: an answer for each recipient. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { makeDir, readLog, removeDir, startServer, until, writeConfig } from "../support/server.js";
import { connectAndGreet } from "../support/smtp-client.js";

test("a store that speaks LMTP on a unix socket answers for each recipient at the end", async () => {
  const dir = makeDir();
  const path = join(dir, "lmtp.sock");
  const heard: string[] = [];
  const store = createServer((socket) => {
    let text = "";
    let content = false;
    socket.write("220 store LMTP\r\n");
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
      for (let end = text.indexOf("\r\n"); end >= 0; end = text.indexOf("\r\n")) {
        const line = text.slice(0, end);
        text = text.slice(end + 2);
        if (content) {
          if (line !== ".") continue;
          content = false;
          socket.write("250 2.0.0 stored\r\n");
          socket.write("452 4.2.2 full\r\n");
          continue;
        }
        heard.push(line);
        if (line.startsWith("LHLO")) socket.write("250-store\r\n250 PIPELINING\r\n");
        else if (line === "QUIT") socket.end("221 bye\r\n");
        else if (line === "DATA") {
          content = true;
          socket.write("354 go\r\n");
        } else socket.write(line.includes("nobody") ? "550 5.1.1 unknown\r\n" : "250 ok\r\n");
      }
    });
  });
  await new Promise<void>((listening) => store.listen(path, listening));
  writeConfig(dir, { to: `unix:${path}`, shaping: '["default"]\nuse_lmtp = true\n' });
  const running = await startServer(dir);
  try {
    const client = await connectAndGreet(running.port);
    const to = ["a@example.com", "nobody@example.com", "b@example.com"];
    await client.send("s@x.example", to, "Subject: x\r\n\r\nText");
    await client.end();
    const told = () => readLog(dir).filter(({ type }) => type !== "Reception");
    await until(() => told().length === 3, "a record for each");
    const fates = told().map(({ recipient, type, response }) => `${recipient} ${type} ${response.code}`);
    assert.deepEqual(fates.sort(), [
      "a@example.com Delivery 250",
      "b@example.com TransientFailure 452",
      "nobody@example.com Bounce 550",
    ]);
    assert.equal(told()[0]?.["delivery_protocol"], "LMTP");
    assert.equal(heard[0], "LHLO mta.example.org");
  } finally {
    await running.stop();
    store.close();
    removeDir(dir);
  }
});
