/** Clients that send a little at a time: what keeps a session alive, and what does not. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { makeDir, removeDir, startServer, writeConfig } from "../support/server.js";

/** A client that says these pieces over and over, ten a second; its text so far. */
async function dripping(port: number, pieces: readonly string[]): Promise<{ socket: Socket; text: () => string }> {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
  socket.on("error", () => {});
  await once(socket, "data");
  let next = 0;
  const drip = setInterval(() => socket.write(pieces[next++ % pieces.length] as string), 100);
  socket.on("close", () => clearInterval(drip));
  return { socket, text: () => text };
}

test("a command line is whole in client_timeout of its first byte; whole lines keep a session alive", async (t) => {
  const dir = makeDir();
  writeConfig(dir, { listener: 'client_timeout = "1s"' });
  const server = await startServer(dir);
  t.after(async () => {
    await server.stop();
    removeDir(dir);
  });
  const began = performance.now();
  const slow = await dripping(server.port, ["x"]);
  // Never between two lines, and yet saying one after the other.
  const busy = await dripping(server.port, ["NO", "OP\r\nNO", "OP\r\n"]);
  const limit = setTimeout(() => slow.socket.destroy(), 6000);
  await once(slow.socket, "close");
  clearTimeout(limit);
  assert.match(slow.text(), /^220 .*\r\n421 4\.3\.2 .*\r\n$/);
  // Times are those of the last sweep, a few a second.
  assert.ok(performance.now() - began >= 500, "it had its time");
  // As long again: the other one is still heard.
  const heard = busy.text().length;
  for (let replies = 0; replies < 10; replies++) await once(busy.socket, "data");
  assert.ok(busy.text().length > heard && !busy.text().includes("421"));
  busy.socket.destroy();
});
