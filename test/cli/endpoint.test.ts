/** Where client commands find their server: by option, environment and files, the nearest first. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { DEFAULT_ENDPOINT, endpointOf, findEndpoint } from "../../src/cli/endpoint.js";
import { makeDir, removeDir } from "../support/server.js";
import { runIn } from "./command.js";

function folder(t: TestContext): string {
  const dir = makeDir();
  t.after(() => removeDir(dir));
  return dir;
}

/** A configuration with an HTTP listener at `port`. */
function config(dir: string, name: string, port: number | null): string {
  const path = join(dir, name);
  const http = port === null ? "" : `[[http_listener]]\nlisten = "127.0.0.1:${port}"\n`;
  writeFileSync(path, `[node]\ndata_dir = "./${name}.var"\n${http}`);
  return path;
}

/** Something that answers every order with `answer`; its port. */
async function answering(t: TestContext, answer: object): Promise<number> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { connection: "close" });
    response.end(JSON.stringify(answer));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

test("the order of the places: option, its configuration, environment, its configuration", (t) => {
  const dir = folder(t);
  const [one, two, none] = [config(dir, "one.toml", 8101), config(dir, "two.toml", 8102), config(dir, "no.toml", null)];
  const env = { HIKYAKU_ENDPOINT: "http://127.0.0.1:8103", HIKYAKU_CONFIG: two };
  const shown = (flags: object, environment: NodeJS.ProcessEnv): string => {
    const found = findEndpoint(flags, environment);
    return "refusal" in found ? `${found.exitCode}` : `${found.shown}${found.config === null ? "" : " configured"}`;
  };
  assert.equal(shown({ endpoint: "http://127.0.0.1:8100", config: one }, env), "http://127.0.0.1:8100 configured");
  assert.equal(shown({ endpoint: "http://127.0.0.1:8100" }, env), "http://127.0.0.1:8100");
  assert.equal(shown({ config: one }, env), "http://127.0.0.1:8101 configured");
  assert.equal(shown({}, env), "http://127.0.0.1:8103");
  assert.equal(shown({ endpoint: "nonsense" }, env), "2");
  assert.equal(shown({}, { ...env, HIKYAKU_ENDPOINT: "127.0.0.1:8103" }), "2");
  assert.equal(shown({ config: none }, env), "1");
  assert.equal(shown({ config: join(dir, "missing.toml") }, env), "78");
});

test("a configuration named in the environment, or lying here, says where the server is", async (t) => {
  const dir = folder(t);
  const port = await answering(t, { stopping: true });
  const path = config(dir, "hikyaku.toml", port);
  const stopped = await runIn({ cwd: dir }, "stop", "--timeout", "0");
  assert.deepEqual(stopped, { code: 0, out: "stopping\n", err: "" });
  const elsewhere = folder(t);
  config(elsewhere, "hikyaku.toml", null);
  const named = { cwd: elsewhere, env: { HIKYAKU_CONFIG: path } };
  assert.equal((await runIn(named, "stop", "--timeout", "0")).code, 0);
  const refused = await runIn({ cwd: elsewhere }, "stop");
  assert.equal(refused.code, 1);
  assert.match(refused.err, /^hikyaku stop: .*hikyaku\.toml has no HTTP listener with a fixed port; .*--endpoint\n$/);
});

test("spool-compact looks in the same places, and refuses what is no URL in one line", async (t) => {
  const dir = folder(t);
  const port = await answering(t, { before_bytes: 9, after_bytes: 4, shards: [], errors: [] });
  const path = config(dir, "hikyaku.toml", port);
  for (const [where, ...args] of [
    [{ cwd: dir }],
    [{ env: { HIKYAKU_CONFIG: path } }],
    [{}, "--config", path],
  ] as const) {
    const done = await runIn(where, "spool-compact", ...args);
    assert.deepEqual([done.code, done.err], [0, ""]);
    assert.match(done.out, /^5 bytes given back$/m);
  }
  const wrong = await runIn({}, "spool-compact", "--endpoint", "127.0.0.1:8000");
  assert.deepEqual([wrong.code, wrong.out], [2, ""]);
  assert.match(wrong.err, /^hikyaku spool-compact: the endpoint "127\.0\.0\.1:8000" is no URL of a server, .*\n$/);
  const missing = await runIn({ env: { HIKYAKU_CONFIG: join(dir, "none.toml") } }, "spool-compact");
  assert.equal(missing.code, 78);
  assert.match(missing.err, /^hikyaku spool-compact: the configuration .*none\.toml does not exist/);
});

test("with no configuration anywhere it is the default", { skip: existsSync("/etc/hikyaku/hikyaku.toml") }, (t) => {
  const before = process.cwd();
  process.chdir(folder(t));
  const found = findEndpoint({}, {});
  process.chdir(before);
  assert.deepEqual(found, { url: new URL(DEFAULT_ENDPOINT), shown: DEFAULT_ENDPOINT, config: null });
});

test("the endpoint of a configuration", () => {
  assert.equal(endpointOf([]), null);
  assert.equal(endpointOf([{ host: "127.0.0.1", port: 0 }]), null);
  assert.equal(
    endpointOf([
      { host: "127.0.0.1", port: 0 },
      { host: "0.0.0.0", port: 8000 },
    ]),
    "http://127.0.0.1:8000",
  );
  assert.equal(endpointOf([{ host: "::", port: 80 }]), "http://[::1]:80");
  assert.equal(endpointOf([{ host: "192.0.2.1", port: 8000 }]), "http://192.0.2.1:8000");
});
