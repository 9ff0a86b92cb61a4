/**
 * Exim as a mail host, with a configuration, a queue and mailboxes of its own. It is run as an ordinary user: a wrapper
 * around the system's user table gives it the user that Debian's build insists on.
 */
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { untestable } from "../untestable.js";
import type { CertificateFiles } from "./certificates.js";
import type { MailHost } from "./mail-host.js";
import { cleanUp, findProgram, NOBODY, ownAddress, PEER_PORT, Program, peerDir, present, root } from "./program.js";

/** How Exim behaves. */
export interface EximOptions {
  readonly hostname?: string;
  /** STARTTLS (GnuTLS) with this certificate; with `required`, no mail without it. */
  readonly tls?: { readonly certificate: CertificateFiles; readonly required?: boolean };
  /** Names and passwords for AUTH (PLAIN, LOGIN, CRAM-MD5), which is then required. */
  readonly users?: Readonly<Record<string, string>>;
  /** Whether PIPELINING and CHUNKING are offered; default both. */
  readonly pipelining?: boolean;
  readonly chunking?: boolean;
  /** Other settings of the main section: `message_size_limit`, `recipients_max`, `smtp_accept_max`, … */
  readonly main?: Readonly<Record<string, string | number>>;
  /** Statements of the ACL for RCPT that come first; see Exim's specification, chapter 44. */
  readonly recipientAcl?: string;
}

/** Starts Exim; it ends with the test. Null where that cannot be done, which the test has then said. */
export async function startExim(t: TestContext, options: EximOptions = {}): Promise<MailHost | null> {
  if (!present(t, "exim4")) return null;
  const exim = findProgram("exim4");
  const wrapper = exim?.libraries.map((folder) => join(folder, "libnss_wrapper.so")).find((path) => existsSync(path));
  if (exim === null || wrapper === undefined) {
    return (
      untestable(t, "the system's Exim wants to be run as its own user; npm test unpacks one that does not") || null
    );
  }
  const uid = root ? NOBODY : (process.getuid?.() ?? NOBODY);
  const gid = root ? NOBODY : (process.getgid?.() ?? NOBODY);
  const dir = peerDir();
  const address = ownAddress();
  for (const name of ["spool", "mail"]) {
    mkdirSync(join(dir, name));
    if (root) chownSync(join(dir, name), uid, gid);
  }
  // The users that it looks up by name; there are no others for it.
  writeFileSync(join(dir, "passwd"), `Debian-exim:x:${uid}:${gid}::/:/bin/false\nroot:x:0:0::/:/bin/false\n`);
  writeFileSync(join(dir, "group"), `Debian-exim:x:${gid}:\nroot:x:0:\n`);
  const config = join(dir, "exim.conf");
  writeFileSync(config, configuration(dir, address, exim.path, { uid, gid }, options));
  for (const name of ["passwd", "group", "exim.conf"]) chmodSync(join(dir, name), 0o644);
  if (options.tls !== undefined && root) handOver(dir, options.tls.certificate, uid);
  const program = await Program.start(exim, {
    args: ["-C", config, "-bdf"],
    uid,
    env: { LD_PRELOAD: wrapper, NSS_WRAPPER_PASSWD: join(dir, "passwd"), NSS_WRAPPER_GROUP: join(dir, "group") },
    listens: { host: address, port: PEER_PORT },
    logs: [join(dir, "spool/mainlog"), join(dir, "spool/rejectlog"), join(dir, "spool/paniclog")],
  });
  // Told to end, it first waits a second; there is nothing to wait for.
  const stop = (): Promise<void> => program.stop("SIGKILL");
  cleanUp(t, dir, stop);
  return {
    kind: "exim",
    address,
    port: PEER_PORT,
    maildir: join(dir, "mail/inbox"),
    get log() {
      return program.log;
    },
    stop,
  };
}

/** Copies of the certificate's files that Exim's user may read. */
function handOver(dir: string, files: CertificateFiles, uid: number): void {
  for (const [name, path] of [
    ["chain.pem", files.chain],
    ["key.pem", files.key],
  ] as const) {
    writeFileSync(join(dir, name), readFileSync(path), { mode: 0o600 });
    chownSync(join(dir, name), uid, uid);
  }
}

function configuration(
  dir: string,
  address: string,
  path: string,
  user: { readonly uid: number; readonly gid: number },
  options: EximOptions,
): string {
  const { tls, users } = options;
  const offered = (on: boolean | undefined): string => (on === false ? "" : "*");
  const settings: Record<string, string | number> = {
    primary_hostname: options.hostname ?? "exim.test",
    spool_directory: join(dir, "spool"),
    log_file_path: join(dir, "spool/%slog"),
    pid_file_path: join(dir, "spool/pid"),
    exim_path: path,
    exim_user: user.uid,
    exim_group: user.gid,
    deliver_drop_privilege: "true",
    keep_environment: "LD_PRELOAD : ^NSS_WRAPPER_",
    log_selector: "+pipelining +tls_sni +tls_cipher +smtp_protocol_error",
    local_interfaces: address,
    daemon_smtp_ports: PEER_PORT,
    host_lookup: "",
    rfc1413_query_timeout: "0s",
    // Each message is stored at once, also the eleventh of a connection.
    smtp_accept_queue_per_connection: 0,
    smtputf8_advertise_hosts: "*",
    pipelining_advertise_hosts: offered(options.pipelining),
    chunking_advertise_hosts: offered(options.chunking),
    // Offered commands before the greeting are an experiment of Exim alone.
    pipelining_connect_advertise_hosts: "",
    tls_advertise_hosts: tls === undefined ? "" : "*",
    acl_smtp_mail: "check_mail",
    acl_smtp_rcpt: "check_rcpt",
    acl_smtp_data: "accept",
    ...(tls === undefined
      ? {}
      : {
          tls_certificate: root ? join(dir, "chain.pem") : tls.certificate.chain,
          tls_privatekey: root ? join(dir, "key.pem") : tls.certificate.key,
        }),
    ...options.main,
  };
  return `${Object.entries(settings)
    .map(([key, value]) => `${key} = ${value}\n`)
    .join("")}
begin acl
check_mail:
${tls?.required === true ? "  deny message = TLS first\n       !encrypted = *\n" : ""}  accept
check_rcpt:
${users === undefined ? "" : "  deny message = authentication required\n       !authenticated = *\n"}${options.recipientAcl ?? ""}
  accept
begin routers
all:
  driver = accept
  transport = maildir
begin transports
maildir:
  driver = appendfile
  maildir_format
  directory = ${join(dir, "mail/inbox")}
  create_directory
  user = ${user.uid}
  group = ${user.gid}
  envelope_to_add
  return_path_add
begin retry
* * F,1h,5m
begin authenticators
${users === undefined ? "" : authenticators(users)}`;
}

/** The three mechanisms, over a list of names and passwords in the configuration itself. */
function authenticators(users: Readonly<Record<string, string>>): string {
  const password = (name: string): string =>
    Object.entries(users).reduceRight(
      (other, [user, secret]) => `\${if eq{${name}}{${user}}{${secret}}{${other}}}`,
      "fail",
    );
  const known = (name: string, secret: string): string =>
    `\${if and{{!eq{${secret}}{fail}}{eq{${secret}}{${password(name)}}}}}`;
  return `plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${known("$auth2", "$auth3")}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${known("$auth1", "$auth2")}
  server_set_id = $auth1
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${password("$auth1")}
  server_set_id = $auth1
`;
}
