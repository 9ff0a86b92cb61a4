/** Secrets from Vault: what is asked, what is made of the answers, and what is said when there is none. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { ConfigFault, type LoadedConfig, loadConfig } from "../../src/config/load.js";
import { loadWithSecrets } from "../../src/config/load-secrets.js";
import { WITHOUT_SECRETS } from "../../src/config/secret-source.js";
import { makeCertificate } from "../support/peers/certificates.js";
import { makeDir, removeDir } from "../support/server.js";
import { startVault, type TestVault } from "../support/vault.js";

const SOURCE =
  '[[source]]\nname = "a"\nsocks5_proxy_server = "p.example:1"\nsocks5_proxy_source_address = "::1"\nsocks5_proxy_username = "me"\n';

describe("secrets from Vault", () => {
  const dir = makeDir();
  let vault: TestVault;

  before(async () => {
    vault = await startVault();
  });
  after(async () => {
    await vault.stop();
    removeDir(dir);
  });
  beforeEach(() => {
    vault.asked.length = 0;
    Object.assign(vault.state, {
      token: "s.good",
      tells: true,
      status: null,
      silent: false,
      secrets: {
        "kv/mail/relay": { key: "first", password: "hush", number: 12_345 },
        "old/mail/relay": { key: "from the first version" },
        "team/kv/gone": null,
      },
      mounts: { kv: 2, old: 1, "team/kv": 2 },
    });
  });

  function env(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    return { VAULT_ADDR: vault.url, VAULT_TOKEN: "s.good", ...more };
  }

  /** Loads a source whose password is this, in Vault's notation. */
  function loadPassword(password: string, environment = env(), shaping?: string): Promise<LoadedConfig> {
    const more = shaping === undefined ? "" : '[shaping]\nfiles = ["shaping.toml"]\n';
    writeFileSync(
      join(dir, "hikyaku.toml"),
      `[delivery]\nmode = "live"\n${more}${SOURCE}socks5_proxy_password = ${password}\n`,
    );
    writeFileSync(join(dir, "shaping.toml"), shaping ?? "");
    return loadWithSecrets(join(dir, "hikyaku.toml"), environment);
  }

  async function passwordOf(password: string, environment = env()): Promise<string | null> {
    const { config } = await loadPassword(password, environment);
    const { proxy } = config.sources["a"] ?? {};
    return proxy?.protocol === "socks5" ? (proxy.credentials?.password ?? null) : null;
  }

  /** What is said of such a password, without the directory. */
  async function refusal(password: string, environment = env()): Promise<string> {
    const fault = await loadPassword(password, environment).catch((error: unknown) => error);
    assert.ok(fault instanceof ConfigFault, String(fault));
    assert.equal(fault.code, "config.invalid");
    assert.doesNotMatch(fault.message, /hush|first|s\.good|12345/, "no secret, no token");
    return fault.message.replaceAll(`${dir}/`, "").replaceAll(vault.url, "VAULT");
  }

  test("both versions of the engine, a mount with slashes, the default key", async () => {
    assert.equal(await passwordOf('{ vault_mount = "kv", vault_path = "mail/relay", vault_key = "password" }'), "hush");
    assert.equal(await passwordOf('{ vault_mount = "/kv/", vault_path = "/mail/relay/" }'), "first");
    assert.equal(await passwordOf('{ vault_mount = "old", vault_path = "mail/relay" }'), "from the first version");
    vault.state.secrets["team/kv/a b/ü?"] = { key: "odd" };
    assert.equal(await passwordOf('{ vault_mount = "team/kv", vault_path = "a b/ü?" }'), "odd");
  });

  test("a Vault that does not tell versions", async () => {
    vault.state.tells = false;
    assert.equal(await passwordOf('{ vault_mount = "kv", vault_path = "mail/relay" }'), "first");
    assert.equal(await passwordOf('{ vault_mount = "old", vault_path = "mail/relay" }'), "from the first version");
    assert.match(
      await refusal('{ vault_mount = "kv", vault_path = "none" }'),
      /it has no kv\/none \(HTTP status 404\)/,
    );
  });

  test("address and token of the file win over the environment; the token may come from a file", async () => {
    writeFileSync(join(dir, "token"), "s.good\n");
    const at = `vault_mount = "kv", vault_path = "mail/relay", vault_address = "${vault.url}/", vault_token = { file = "token" }`;
    const elsewhere = { VAULT_ADDR: "http://127.0.0.1:1", VAULT_TOKEN: "s.bad", VAULT_NAMESPACE: "team" };
    assert.equal(await passwordOf(`{ ${at} }`, elsewhere), "first");
    assert.equal(vault.asked[0]?.headers["x-vault-namespace"], "team");
  });

  test("nobody is asked without need, and once for all keys of a secret", async () => {
    assert.equal(await passwordOf('"written out"'), "written out");
    assert.equal(vault.asked.length, 0);
    const shaping = [
      '["relay.example"]',
      'smtp_auth_plain_username = { env = "WHO" }',
      'smtp_auth_plain_password = { vault_mount = "kv", vault_path = "mail/relay", vault_key = "password" }',
    ];
    const given = shaping.join("\n").replace('{ env = "WHO" }', '"me"');
    const { config } = await loadPassword('{ vault_mount = "kv", vault_path = "mail/relay" }', env(), given);
    assert.equal(config.shaping.blocks[0]?.options.smtpAuthPassword, "hush");
    assert.deepEqual(
      vault.asked.map(({ path }) => path),
      ["/v1/sys/internal/ui/mounts/kv", "/v1/kv/data/mail/relay"],
    );
  });

  test("certificates and keys: PEM only, never taken for a path", async () => {
    const made = makeCertificate(dir, { name: "client", hosts: ["client.example"] });
    vault.state.secrets["kv/tls"] = { cert: made.pem, key: made.key, other: "hush" };
    const shaping = (key: string) =>
      `["a.example"]\ntls_certificate = { vault_mount = "kv", vault_path = "tls", vault_key = "cert" }\ntls_private_key = { vault_mount = "kv", vault_path = "tls", vault_key = "${key}" }\n`;
    const { config } = await loadPassword('"x"', env(), shaping("key"));
    assert.equal(config.shaping.blocks[0]?.options.tlsPrivateKey, made.key);
    const fault = await loadPassword('"x"', env(), shaping("other")).catch((error: unknown) => error);
    assert.ok(fault instanceof ConfigFault);
    assert.equal(
      fault.message,
      'shaping.toml:3: "a.example".tls_private_key: what Vault holds is no PEM with a private key',
    );
  });

  test("TLS with an authority of its own", async () => {
    const made = makeCertificate(dir, { name: "vault", hosts: ["localhost"] });
    const secure = await startVault(0, { key: made.key, cert: made.pem });
    try {
      Object.assign(secure.state, { mounts: { kv: 2 }, secrets: { "kv/a": { key: "over TLS" } } });
      const to = { VAULT_ADDR: secure.url.replace("127.0.0.1", "localhost"), VAULT_TOKEN: "s.good" };
      const at = '{ vault_mount = "kv", vault_path = "a" }';
      assert.match(await refusal(at, to), /cannot be asked: (DEPTH_ZERO_)?SELF_SIGNED/);
      assert.equal(await passwordOf(at, { ...to, VAULT_CACERT: made.certPath }), "over TLS");
      assert.match(
        await refusal(at, { ...to, VAULT_CACERT: join(dir, "none.pem") }),
        /VAULT_CACERT: .*none\.pem cannot be read/,
      );
    } finally {
      await secure.stop();
    }
  });

  const PLACE = "hikyaku.toml:8: source[0].socks5_proxy_password: ";
  const GOOD = '{ vault_mount = "kv", vault_path = "mail/relay" }';
  const REFUSED: readonly (readonly [string, string, () => void])[] = [
    [
      "a wrong token",
      "Vault at VAULT: the token is not good, or may not read kv/mail/relay (HTTP status 403)",
      () => (vault.state.token = "s.other"),
    ],
    ["no such secret", "Vault at VAULT: it has no kv/mail/relay (HTTP status 404)", () => (vault.state.secrets = {})],
    ["a deleted one", "Vault at VAULT: kv/mail/relay was deleted", () => (vault.state.secrets["kv/mail/relay"] = null)],
    [
      "no such key",
      'Vault at VAULT: kv/mail/relay has no key "key"',
      () => (vault.state.secrets["kv/mail/relay"] = { password: "hush" }),
    ],
    [
      "no text",
      'Vault at VAULT: kv/mail/relay: "key" is no text',
      () => (vault.state.secrets["kv/mail/relay"] = { key: 12_345 }),
    ],
    ["sealed", "Vault at VAULT: it is sealed or in maintenance (HTTP status 503)", () => (vault.state.status = 503)],
    [
      "elsewhere",
      "Vault at VAULT: it sends us elsewhere; name that address (HTTP status 307)",
      () => (vault.state.status = 307),
    ],
    [
      "something else",
      "Vault at VAULT: its answer about kv/mail/relay is not that of an engine of key and value pairs",
      () => (vault.state.status = 200),
    ],
    ["silence", "Vault at VAULT cannot be asked: no answer within 200 ms", () => (vault.state.silent = true)],
  ];
  for (const [name, said, set] of REFUSED) {
    test(`refused: ${name}`, async () => {
      set();
      assert.equal(await refusal(GOOD, env({ VAULT_CLIENT_TIMEOUT: "200ms" })), PLACE + said);
    });
  }

  test("nobody listens: it is said at each place, and waited for once", async () => {
    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, "127.0.0.1", resolve));
    const address = free.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    await new Promise((resolve) => free.close(resolve));
    const said = await refusal(GOOD, { VAULT_ADDR: `http://127.0.0.1:${port}`, VAULT_TOKEN: "s.good" });
    assert.match(said, /^hikyaku\.toml:8: .*: Vault at http:\/\/127\.0\.0\.1:\d+ cannot be asked: .*ECONNREFUSED/);
  });

  test("a silent Vault is not waited for again and again", async () => {
    vault.state.silent = true;
    const blocks = Array.from(
      { length: 30 },
      (_, i) =>
        `["d${i}.example"]\nsmtp_auth_plain_username = "a"\nsmtp_auth_plain_password = { vault_mount = "m${i}", vault_path = "p" }\n`,
    );
    const fault = await loadPassword('"x"', env({ VAULT_CLIENT_TIMEOUT: "200ms" }), blocks.join("")).catch(
      (error: unknown) => error,
    );
    assert.ok(fault instanceof ConfigFault);
    assert.equal(fault.problems.filter(({ severity }) => severity === "error").length, 30);
    assert.match(
      fault.message,
      /shaping\.toml:90: "d29\.example"\.smtp_auth_plain_password: Vault at .* no answer within 200 ms/,
    );
    assert.equal(vault.asked.length, 8, "as many as are asked for at once");
  });

  test("what is missing or written wrong", async () => {
    assert.equal(await refusal(GOOD, {}), `${PLACE}no vault_address is given, and VAULT_ADDR is not set`);
    assert.equal(
      await refusal(GOOD, { VAULT_ADDR: vault.url }),
      `${PLACE}no vault_token is given, and VAULT_TOKEN is not set`,
    );
    assert.match(await refusal(GOOD, env({ VAULT_ADDR: "vault:8200" })), /VAULT_ADDR is no URL/);
    assert.match(await refusal(GOOD, env({ VAULT_TOKEN: "a\nb" })), /VAULT_TOKEN holds no token/);
    assert.match(
      await refusal(GOOD, env({ VAULT_CLIENT_TIMEOUT: "1h" })),
      /VAULT_CLIENT_TIMEOUT is no duration from 1ms to 10s/,
    );
    assert.match(await refusal('{ vault_mount = "kv" }'), /a secret in Vault has vault_mount and vault_path/);
    assert.match(await refusal('{ vault_mount = "kv", vault_path = "a/../b" }'), /a secret in Vault has/);
    assert.match(
      await refusal('{ vault_mount = "kv", vault_path = "a", vault_keys = "b" }'),
      /unknown key, nearest known key "vault_key"/,
    );
    assert.match(
      await refusal('{ vault_mount = "kv", vault_path = "a", vault_address = "vault" }'),
      /found "vault", expected a URL/,
    );
    assert.match(
      await refusal('{ vault_mount = "kv", vault_path = "a", vault_token = 12345 }'),
      /vault_token: expected a token/,
    );
    assert.match(
      await refusal(`{ vault_mount = "kv", vault_path = "a", vault_token = ${GOOD} }`),
      /cannot come from Vault/,
    );
    assert.equal(vault.asked.length, 0, "nobody was asked");
  });

  test("without secrets the rest can be read, and nobody is asked", async () => {
    await loadPassword(GOOD);
    vault.asked.length = 0;
    const { config } = loadConfig(join(dir, "hikyaku.toml"), {}, WITHOUT_SECRETS);
    assert.equal(config.sources["a"]?.name, "a");
    assert.throws(() => loadConfig(join(dir, "hikyaku.toml"), env()), /secrets from Vault are not for this file/);
    assert.equal(vault.asked.length, 0);
  });
});
