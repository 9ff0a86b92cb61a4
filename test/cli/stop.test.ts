import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { makeDir, removeDir, until, writeConfig } from "../support/server.js";
import { launch, run } from "./command.js";

/** Something that takes the order to stop and then is as ready as `status` says. */
async function listener(status: string, onStop: (server: Server) => void): Promise<{ server: Server; port: number }> {
  const server = createServer((request, response) => {
    const isOrder = request.method === "POST";
    response.writeHead(isOrder ? 202 : 503, { connection: "close" });
    response.end(JSON.stringify(isOrder ? { stopping: true } : { status }));
    if (isOrder) onStop(server);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return { server, port: typeof address === "object" && address !== null ? address.port : 0 };
}

test("stop waits until nobody listens any more, or until it is another server", async () => {
  const closing = await listener("stopping", (server) => server.close());
  const stopped = await run("stop", "--endpoint", `http://127.0.0.1:${closing.port}`);
  assert.deepEqual(stopped, { code: 0, out: "stopping\nstopped\n", err: "" });

  const another = await listener("ok", () => {});
  const replaced = await run("stop", "--endpoint", `http://127.0.0.1:${another.port}`, "--json");
  another.server.close();
  assert.deepEqual(replaced, { code: 0, out: '{"stopping":true,"stopped":true}\n', err: "" });
});

test("a server that does not end in time: exit 1 and one line that says so; none is waited for with 0", async () => {
  const { server, port } = await listener("stopping", () => {});
  const endpoint = `http://127.0.0.1:${port}`;
  const late = await run("stop", "--endpoint", endpoint, "--timeout", "300ms");
  assert.deepEqual(late, {
    code: 1,
    out: "stopping\n",
    err: `hikyaku stop: the server at ${endpoint} is still stopping after 0.3 s\n`,
  });
  const unwaited = await run("stop", "--endpoint", endpoint, "--timeout", "0");
  server.close();
  assert.deepEqual(unwaited, { code: 0, out: "stopping\n", err: "" });
});

test("an endpoint that is no URL is wrong usage, told in one line", async () => {
  for (const endpoint of ["foo", "localhost:8000", "http://", "ftp://127.0.0.1"]) {
    const wrong = await run("stop", "--endpoint", endpoint);
    assert.equal(wrong.code, 2, endpoint);
    assert.match(wrong.err, /^hikyaku stop: the endpoint ".*" is no URL of a server, such as http:.*\n$/);
  }
});

test("with its configuration a server is found and waited for to its end; a second start names its process", async () => {
  const dir = makeDir();
  const probe = await listener("", () => {});
  probe.server.close();
  await once(probe.server, "close");
  const config = writeConfig(dir, {});
  const text = readFileSync(config, "utf8");
  const unknown = await run("stop", "--config", config);
  assert.equal(unknown.code, 1);
  assert.match(unknown.err, /^hikyaku stop: .* no HTTP listener with a fixed port; .*--endpoint\n$/);

  const listen = (port: number): string => `[[http_listener]]\nlisten = "127.0.0.1:${port}"`;
  writeFileSync(config, text.replace(listen(0), listen(probe.port)));
  const ready = join(dir, "ready.json");
  const started = launch("start", "--config", config, "--ready-file", ready);
  await until(() => existsSync(ready) || started.child.exitCode !== null, "the server");
  const second = await run("start", "--config", config);
  assert.equal(second.code, 1);
  assert.match(
    second.err,
    new RegExp(`^hikyaku: the spool .* is used by another running server, process ${started.child.pid}\\n$`),
  );
  const stopped = await run("stop", "--config", config);
  assert.deepEqual(stopped, { code: 0, out: "stopping\nstopped\n", err: "" });
  assert.equal((await started.finished).code, 0);
  assert.equal((await run("stop", "--config", config)).code, 3);
  removeDir(dir);
});
