/**
 * Postfix as a mail host, with a configuration, a queue and mailboxes of its own. It can only be started by root.
 * What a test does not say is as little as Postfix needs to take all mail and store it.
 */
import { spawnSync } from "node:child_process";
import { chownSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { untestable } from "../untestable.js";
import type { CertificateFiles } from "./certificates.js";
import type { MailHost } from "./mail-host.js";
import { cleanUp, findProgram, NOBODY, ownAddress, PEER_PORT, Program, peerDir, present, root } from "./program.js";

/** How Postfix behaves. */
export interface PostfixOptions {
  readonly hostname?: string;
  /** STARTTLS with this certificate; with `required`, no mail without it; a client's certificate is asked for with `clientCa`. */
  readonly tls?: { readonly certificate: CertificateFiles; readonly required?: boolean; readonly clientCa?: string };
  /** Names and passwords for AUTH, which is then required. */
  readonly users?: Readonly<Record<string, string>>;
  /** Mechanisms for AUTH. */
  readonly mechanisms?: readonly string[];
  /** EHLO keywords that it keeps to itself: `pipelining`, `chunking`, `8bitmime`, `smtputf8`, `size`, `starttls`. */
  readonly discard?: readonly string[];
  /** Answers to RCPT, `451 4.2.0 text` or `reject`, by regular expression over the recipient; the first one holds. */
  readonly recipients?: Readonly<Record<string, string>>;
  /** Seconds before it answers RCPT. */
  readonly slow?: number;
  /** Other settings of main.cf: `message_size_limit`, `smtpd_recipient_limit`, `smtpd_client_connection_count_limit`, … */
  readonly main?: Readonly<Record<string, string | number>>;
}

const HOSTNAME = "postfix.test";
const SERVICES = `
cleanup  unix n - n - 0 cleanup
qmgr     unix n - n 300 1 qmgr
rewrite  unix - - n - - trivial-rewrite
bounce   unix - - n - 0 bounce
defer    unix - - n - 0 bounce
trace    unix - - n - 0 bounce
proxymap unix - - n - - proxymap
virtual  unix - n n - - virtual
error    unix - - n - - error
retry    unix - - n - - error
anvil    unix - - n - 1 anvil
tlsmgr   unix - - n 1000? 1 tlsmgr
postlog  unix-dgram n - n - 1 postlogd
`;

/** Starts Postfix; it ends with the test. Null where that cannot be done, which the test has then said. */
export async function startPostfix(t: TestContext, options: PostfixOptions = {}): Promise<MailHost | null> {
  if (!present(t, "smtp-source", ...(options.users === undefined ? [] : ["saslpasswd2"]))) return null;
  if (!root) return untestable(t, "Postfix can only be started by root") || null;
  const master = findProgram("master");
  if (master === null) return untestable(t, "Postfix has no master where Debian has it") || null;
  const dir = peerDir();
  const address = ownAddress();
  const folders = makeQueue(dir);
  writeFileSync(join(dir, "recipients"), table(options.recipients ?? {}));
  writeFileSync(join(dir, "etc/main.cf"), mainCf(dir, options));
  writeFileSync(join(dir, "etc/master.cf"), `${address}:${PEER_PORT} inet n - n - - smtpd${SERVICES}`);
  // Postfix waits until its files are two seconds old, in case they are still being written.
  for (const name of ["recipients", "etc/main.cf", "etc/master.cf"]) utimesSync(join(dir, name), 1e9, 1e9);
  if (options.users !== undefined)
    makeUsers(dir, options.hostname ?? HOSTNAME, options.users, options.mechanisms ?? ["PLAIN", "LOGIN", "CRAM-MD5"]);
  const log = join(dir, "log");
  const program = await Program.start(master, {
    args: ["-c", join(dir, "etc"), "-d"],
    env: { MAIL_CONFIG: join(dir, "etc") },
    listens: { host: address, port: PEER_PORT },
    logs: [log],
  });
  cleanUp(t, dir, () => program.stop());
  return {
    kind: "postfix",
    address,
    port: PEER_PORT,
    maildir: join(folders.mail, "inbox"),
    get log() {
      return program.log;
    },
    stop: () => program.stop(),
  };
}

/** The directories of a queue, owned as `postfix check` wants them. */
function makeQueue(dir: string): { readonly mail: string } {
  const id = (name: string): number => Number(spawnSync("id", ["-u", name], { encoding: "utf8" }).stdout);
  const postfix = id("postfix");
  for (const name of ["etc", "queue", "data", "mail", "queue/pid", "queue/public", "queue/maildrop"])
    mkdirSync(join(dir, name));
  for (const name of [
    "active",
    "bounce",
    "corrupt",
    "defer",
    "deferred",
    "flush",
    "hold",
    "incoming",
    "private",
    "saved",
    "trace",
  ]) {
    mkdirSync(join(dir, "queue", name), { mode: 0o700 });
    chownSync(join(dir, "queue", name), postfix, 0);
  }
  for (const name of ["data", "queue/public", "queue/maildrop"]) chownSync(join(dir, name), postfix, 0);
  const mail = join(dir, "mail");
  chownSync(mail, NOBODY, NOBODY);
  return { mail };
}

function table(answers: Readonly<Record<string, string>>): string {
  return Object.entries(answers)
    .map(([pattern, answer]) => `/${pattern}/ ${answer}\n`)
    .join("");
}

function mainCf(dir: string, options: PostfixOptions): string {
  const settings: Record<string, string | number> = {
    compatibility_level: "3.6",
    queue_directory: join(dir, "queue"),
    data_directory: join(dir, "data"),
    maillog_file: join(dir, "log"),
    maillog_file_prefixes: dir,
    myhostname: options.hostname ?? HOSTNAME,
    inet_interfaces: "127.0.0.1",
    inet_protocols: "ipv4",
    mydestination: "",
    alias_maps: "",
    local_recipient_maps: "",
    mynetworks: "",
    virtual_mailbox_domains: "static:all",
    virtual_mailbox_maps: "static:inbox/",
    virtual_mailbox_base: join(dir, "mail"),
    virtual_uid_maps: `static:${NOBODY}`,
    virtual_gid_maps: `static:${NOBODY}`,
    // Mail as it came: no field is added but the trace, none is rewritten.
    local_header_rewrite_clients: "",
    smtpd_peername_lookup: "no",
    smtpd_tls_security_level: "none",
    smtpd_discard_ehlo_keywords: (options.discard ?? []).join(","),
    smtpd_recipient_restrictions: restrictions(dir, options),
    smtpd_relay_restrictions:
      options.users === undefined ? "permit_auth_destination, reject" : "permit_sasl_authenticated, reject",
    ...tlsSettings(options.tls),
    ...(options.users === undefined
      ? {}
      : {
          smtpd_sasl_auth_enable: "yes",
          smtpd_sasl_path: "smtpd",
          smtpd_sasl_local_domain: "$myhostname",
          // The mechanisms may have been unpacked beside the system's.
          import_environment: `MAIL_CONFIG SASL_PATH=${mechanismFolders()}`,
          cyrus_sasl_config_path: join(dir, "etc/sasl"),
        }),
    ...options.main,
  };
  return Object.entries(settings)
    .map(([key, value]) => `${key} = ${value}\n`)
    .join("");
}

function restrictions(dir: string, options: PostfixOptions): string {
  const slow = options.slow === undefined ? [] : [`sleep ${options.slow}`];
  return [...slow, `check_recipient_access regexp:${join(dir, "recipients")}`, "permit"].join(", ");
}

function tlsSettings(tls: PostfixOptions["tls"]): Record<string, string> {
  if (tls === undefined) return {};
  return {
    smtpd_tls_security_level: tls.required === true ? "encrypt" : "may",
    smtpd_tls_cert_file: tls.certificate.chain,
    smtpd_tls_key_file: tls.certificate.key,
    smtpd_tls_loglevel: "1",
    smtpd_tls_received_header: "yes",
    ...(tls.clientCa === undefined
      ? {}
      : { smtpd_tls_CAfile: tls.clientCa, smtpd_tls_ask_ccert: "yes", smtpd_tls_req_ccert: "yes" }),
  };
}

/** Where Cyrus SASL finds its mechanisms. */
function mechanismFolders(): string {
  const unpacked = findProgram("saslpasswd2")?.libraries ?? [];
  const system = readdirSync("/usr/lib").filter((name) => name.includes("-linux-"));
  return [...unpacked, ...system.map((name) => join("/usr/lib", name))]
    .map((folder) => join(folder, "sasl2"))
    .join(":");
}

/** Names and passwords as Cyrus SASL wants them. */
function makeUsers(
  dir: string,
  realm: string,
  users: Readonly<Record<string, string>>,
  mechanisms: readonly string[],
): void {
  const tool = findProgram("saslpasswd2");
  if (tool === null) throw new Error("saslpasswd2 went away");
  const db = join(dir, "data/sasldb2");
  mkdirSync(join(dir, "etc/sasl"));
  for (const [name, password] of Object.entries(users)) {
    const args = ["-p", "-c", "-f", db, "-u", realm, name];
    const done = spawnSync(tool.path, args, { input: password, encoding: "utf8" });
    if (done.status !== 0) throw new Error(`saslpasswd2: ${done.stderr}`);
  }
  const owner = Number(spawnSync("id", ["-u", "postfix"], { encoding: "utf8" }).stdout);
  chownSync(db, owner, 0);
  writeFileSync(
    join(dir, "etc/sasl/smtpd.conf"),
    `pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: ${db}\nmech_list: ${mechanisms.join(" ")}\n`,
  );
}
