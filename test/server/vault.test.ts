/** A server whose secrets are in Vault: start, check, reload, and commands that need none. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { runIn } from "../cli/command.js";
import { ChildServer } from "../support/child-server.js";
import { makeDir, readLog, removeDir, until, writeConfig } from "../support/server.js";
import { connectAndGreet } from "../support/smtp-client.js";
import { startVault, type TestVault } from "../support/vault.js";

/** A mail host that offers AUTH PLAIN in clear, and notes what it is told. */
async function startHost(): Promise<{ readonly port: number; readonly told: string[]; stop(): void }> {
  const told: string[] = [];
  const sockets = new Set<Socket>();
  const host = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.write("220 host.example\r\n");
    let held = "";
    let inData = false;
    socket.on("data", (chunk) => {
      held += chunk.toString("latin1");
      for (let end = held.indexOf("\r\n"); end >= 0; end = held.indexOf("\r\n")) {
        const line = held.slice(0, end);
        held = held.slice(end + 2);
        if (inData) {
          if (line !== ".") continue;
          inData = false;
          socket.write("250 taken\r\n");
        } else if (line.startsWith("EHLO")) socket.write("250-host.example\r\n250 AUTH PLAIN\r\n");
        else if (line.startsWith("AUTH PLAIN ")) {
          told.push(Buffer.from(line.slice(11), "base64").toString().split("\0")[2] ?? "");
          socket.write("235 yes\r\n");
        } else if (line === "DATA") {
          inData = true;
          socket.write("354 go\r\n");
        } else if (line === "QUIT") socket.end("221 bye\r\n");
        else socket.write("250 ok\r\n");
      }
    });
  });
  host.listen(0, "127.0.0.1");
  await once(host, "listening");
  const address = host.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const stop = () => {
    host.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port, told, stop };
}

describe("a server with secrets in Vault", () => {
  const dir = makeDir();
  const path = join(dir, "hikyaku.toml");
  let vault: TestVault;
  let host: Awaited<ReturnType<typeof startHost>>;
  let server: ChildServer;

  before(async () => {
    vault = await startVault();
    Object.assign(vault.state, { mounts: { kv: 2 }, secrets: { "kv/relay": { password: "the first" } } });
    process.env["VAULT_ADDR"] = vault.url;
    process.env["VAULT_TOKEN"] = "s.good";
    host = await startHost();
    writeConfig(dir, {
      to: `127.0.0.1:${host.port}`,
      queue: 'retry_interval = "1s"',
      shaping:
        '["default"]\nenable_tls = "Disabled"\nallow_smtp_auth_plain_without_tls = true\nmax_deliveries_per_connection = 1\nsmtp_auth_plain_username = "me"\nsmtp_auth_plain_password = { vault_mount = "kv", vault_path = "relay", vault_key = "password" }\n',
    });
    server = await ChildServer.start(dir);
  });
  after(async () => {
    await server.kill();
    host.stop();
    await vault.stop();
    removeDir(dir);
  });

  /** Sends a message; gives the password that the mail host was told for it. */
  async function passwordOf(): Promise<string | undefined> {
    const before = readLog(dir).filter((record) => record.type === "Delivery").length;
    const client = await connectAndGreet(server.port);
    await client.send("a@b.example", ["c@d.example"], "Subject: x\r\n\r\ny");
    await client.end();
    await until(() => readLog(dir).filter((record) => record.type === "Delivery").length > before, "the delivery");
    return host.told.at(-1);
  }

  test("the mail host is told what Vault holds, and after a reload what it holds then", async () => {
    assert.equal(await passwordOf(), "the first");
    vault.state.secrets["kv/relay"] = { password: "the second" };
    const reloaded = await runIn({ env: { VAULT_TOKEN: "", VAULT_ADDR: "" } }, "reload", "--endpoint", server.http);
    assert.equal(reloaded.code, 0, reloaded.err);
    assert.match(reloaded.out, /in force, epoch 1/);
    assert.equal(await passwordOf(), "the second");
  });

  test("commands that need no secrets ask nobody", async () => {
    const asked = vault.asked.length;
    const env = { VAULT_TOKEN: "", VAULT_ADDR: "" };
    const shown = await runIn({ env }, "tail", "--all", "--config", path, "--no-follow");
    assert.equal(shown.code, 0, shown.err);
    const checked = await runIn({ env }, "check", "--no-vault", "--config", path);
    assert.equal(checked.code, 0, checked.err);
    assert.equal(vault.asked.length, asked);
  });

  test("Vault is down: a reload changes nothing and says so, check and start refuse", async () => {
    const checked = await runIn({}, "check", "--config", path);
    assert.equal(checked.code, 0, checked.err);
    const { port } = new URL(vault.url);
    await vault.stop();
    const said = /shaping\.toml:6: default\.smtp_auth_plain_password: Vault at \S+ cannot be asked: .*ECONNREFUSED/;
    const reloaded = await runIn({}, "reload", "--endpoint", server.http);
    assert.equal(reloaded.code, 1);
    assert.match(reloaded.err, /the configuration is wrong, the old one stays in force/);
    assert.match(reloaded.err, said);
    await until(() => said.test(server.words), "the notice");
    assert.equal(await server.metric("config_epoch"), 1);
    assert.equal(await server.metric("config_stale"), 1);
    assert.equal(await passwordOf(), "the second");
    const down = await runIn({}, "check", "--config", path);
    assert.deepEqual([down.code, said.test(down.err)], [1, true], down.err);
    const started = await runIn({}, "start", "--config", path);
    assert.deepEqual([started.code, said.test(started.err)], [78, true], started.err);
    vault = await startVault(Number(port));
    Object.assign(vault.state, { mounts: { kv: 2 }, secrets: { "kv/relay": { password: "the third" } } });
    const again = await runIn({}, "reload", "--endpoint", server.http);
    assert.equal(again.code, 0, again.err);
    assert.equal(await server.metric("config_stale"), 0);
    assert.equal(await passwordOf(), "the third");
    assert.doesNotMatch(server.words, /the (first|second|third)|s\.good/);
  });
});
