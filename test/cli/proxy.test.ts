import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { makeDir, removeDir, until } from "../support/server.js";
import { launch, run } from "./command.js";

test("hikyaku proxy: says where it serves, and what it did when it is told to end", async (t) => {
  const dir = makeDir();
  t.after(() => removeDir(dir));
  const ready = join(dir, "ready.json");
  const running = launch("proxy", "--listen", "0", "--http", "0", "--json", "--ready-file", ready);
  await until(() => existsSync(ready) || running.child.exitCode !== null, "the proxy");
  const where = JSON.parse(readFileSync(ready, "utf8")) as {
    pid: number;
    socks: { port: number }[];
    http: { port: number }[];
  };
  assert.equal(where.pid, running.child.pid);
  assert.deepEqual(JSON.parse(running.out()), where);
  const status = await fetch(`http://127.0.0.1:${where.http[0]?.port}/proxy/status`);
  assert.equal(((await status.json()) as { status: string }).status, "ok");
  const client = connect(where.socks[0]?.port ?? 0, "127.0.0.1");
  client.on("error", () => {});
  client.end("GET / HTTP/1.1\r\n");
  await new Promise((resolve) => client.on("close", resolve).resume());
  running.child.kill("SIGTERM");
  const { code, out, err } = await running.finished;
  assert.deepEqual([code, err], [0, ""]);
  const counters = JSON.parse(out.trim().split("\n")[1] ?? "") as { accepted: number; failed: object };
  assert.deepEqual([counters.accepted, counters.failed], [1, { protocol: 1 }]);
});

test("hikyaku proxy: wrong usage is 2, what cannot be had is 1", async (t) => {
  const dir = makeDir();
  t.after(() => removeDir(dir));
  const users = join(dir, "users");
  writeFileSync(users, "# people\nmta:right\nnobody\n");
  for (const [args, code, text] of [
    [[], 2, /required option '--listen/],
    [["--listen", "0", "--require-auth"], 2, /--require-auth needs --users/],
    [["--listen", "0", "--tls-key", "k.pem"], 2, /go together/],
    [["--listen", "0", "--allow-client", "10.0.0.1/8"], 2, /network whose host bits are zero/],
    [["--listen", "0", "--users", users], 1, /users:3: expected NAME:PASSWORD/],
    [["--listen", "0", "--users", join(dir, "none")], 1, /cannot be read \(ENOENT\)/],
    [["--listen", "192.0.2.1:0"], 1, /EADDRNOTAVAIL/],
  ] as const) {
    const done = await run("proxy", ...args);
    assert.equal(done.code, code, `${args.join(" ")}: ${done.err}`);
    assert.match(done.err, text);
  }
});
