/**
 * Certificates for tests, made with `openssl`: authorities, one under another, certificates for servers and for clients,
 * good ones and such as nobody should accept. All files live in the directory that was given.
 */
import { spawnSync } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A certificate with its key, and what it takes to issue others. */
export interface Identity {
  readonly certPath: string;
  readonly keyPath: string;
  readonly pem: string;
  /** PEM, without a password. */
  readonly key: string;
  readonly certificate: X509Certificate;
}

/** What a certificate says. */
export interface Wanted {
  /** The common name. */
  readonly name: string;
  /** DNS names, `*.example.com` too; without names and addresses it is an authority. */
  readonly hosts?: readonly string[];
  /** IP addresses it is good for. */
  readonly addresses?: readonly string[];
  /** Null: signed by itself. */
  readonly issuer?: Pick<Identity, "certPath" | "keyPath"> | null;
  /** Days from now; -1: good until yesterday, for those that are issued. */
  readonly days?: number;
  readonly rsa?: boolean;
  /** Leaves out whose key signed it, so that only the signature can tell. */
  readonly unlinked?: boolean;
  /** What it may be used for; default: not said. */
  readonly use?: string;
  /** Name of its files without the suffix; default one of its own. */
  readonly file?: string;
}

let made = 0;

function openssl(...args: readonly string[]): void {
  const done = spawnSync("openssl", args, { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`openssl ${args[0]}: ${done.error?.message ?? done.stderr}`);
}

/** Makes a certificate in a directory. Throws with what `openssl` said when it cannot. */
export function makeCertificate(dir: string, wanted: Wanted): Identity {
  const { name, issuer = null, days = 30, rsa = false, file = `certificate-${++made}` } = wanted;
  const at = (suffix: string): string => join(dir, `${file}${suffix}`);
  const [certPath, keyPath, config] = [at(".pem"), at(".key"), at(".cnf")];
  const head = `[req]\ndistinguished_name = dn\nprompt = no\n[dn]\nCN = ${name}\n`;
  writeFileSync(config, `${head}[ext]\n${extensionsOf(wanted).join("\n")}\n`);
  const newKey = rsa ? ["rsa:2048"] : ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
  const request = ["-nodes", "-config", config, "-newkey", ...newKey, "-keyout", keyPath];
  const life = ["-extensions", "ext", "-days", `${days}`, "-out", certPath];
  if (issuer === null) openssl("req", "-x509", ...request, ...life);
  else {
    openssl("req", "-new", ...request, "-out", at(".csr"));
    const signer = ["-CA", issuer.certPath, "-CAkey", issuer.keyPath, "-CAcreateserial"];
    openssl("x509", "-req", "-in", at(".csr"), ...signer, "-extfile", config, ...life);
  }
  const pem = readFileSync(certPath, "utf8");
  return { certPath, keyPath, pem, key: readFileSync(keyPath, "utf8"), certificate: new X509Certificate(pem) };
}

function extensionsOf({ hosts = [], addresses = [], unlinked = false, use }: Wanted): readonly string[] {
  const subjects = [...hosts.map((one) => `DNS:${one}`), ...addresses.map((one) => `IP:${one}`)];
  const kind =
    subjects.length === 0
      ? [
          "basicConstraints = critical,CA:TRUE",
          "keyUsage = critical,keyCertSign,cRLSign",
          "subjectKeyIdentifier = hash",
        ]
      : ["basicConstraints = CA:FALSE", `subjectAltName = ${subjects.join(",")}`];
  return [
    ...kind,
    ...(unlinked ? ["authorityKeyIdentifier = none"] : []),
    ...(use === undefined ? [] : [`extendedKeyUsage = ${use}`]),
  ];
}

/** A certificate and its key, as files and as servers are told. */
export interface CertificateFiles {
  /** PEM: the certificate, then those of the authorities between it and the root. */
  readonly chain: string;
  /** PEM, without a password. */
  readonly key: string;
}

/** What to put into a certificate of an authority's. */
export interface CertificateOptions {
  /** Host names, the first is the common name; `*.example.com` too. */
  readonly names: readonly string[];
  /** IP addresses it is good for. */
  readonly addresses?: readonly string[];
  /** It was good until yesterday. */
  readonly expired?: boolean;
  /** What it may be used for; default both. */
  readonly use?: "serverAuth" | "clientAuth";
}

/** An authority for tests. */
export class TestAuthority {
  readonly #own: Identity;
  readonly #dir: string;
  readonly #parent: TestAuthority | null;

  private constructor(dir: string, file: string, parent: TestAuthority | null) {
    this.#dir = dir;
    this.#parent = parent;
    this.#own = makeCertificate(dir, { name: `Test ${file}`, file, issuer: parent === null ? null : parent.#own });
  }

  /** PEM file of this authority's own certificate: for a root, what those who trust it are given. */
  get certificate(): string {
    return this.#own.certPath;
  }

  /** A root; `name` tells it from others in the same directory. */
  static root(dir: string, name = "root"): TestAuthority {
    return new TestAuthority(dir, name, null);
  }

  /** An authority under this one. */
  under(name: string): TestAuthority {
    return new TestAuthority(this.#dir, name, this);
  }

  /** A certificate signed by this authority. */
  issue({ names, addresses = [], expired = false, use }: CertificateOptions): CertificateFiles {
    const { certPath, keyPath, pem } = makeCertificate(this.#dir, {
      name: names[0] ?? "nobody",
      hosts: names,
      addresses,
      days: expired ? -1 : 30,
      use: use ?? "serverAuth,clientAuth",
      issuer: this.#own,
    });
    const chain = certPath.replace(/\.pem$/, "-chain.pem");
    writeFileSync(chain, pem + this.#between());
    return { chain, key: keyPath };
  }

  /** A certificate that vouches for itself. */
  static selfSigned(dir: string, host: string): CertificateFiles {
    const { certPath, keyPath } = makeCertificate(dir, { name: host, hosts: [host] });
    return { chain: certPath, key: keyPath };
  }

  /** The certificates from this authority up to the root, without it. */
  #between(): string {
    return this.#parent === null ? "" : this.#own.pem + this.#parent.#between();
  }
}

/** The data of a TLSA record (RFC 6698 §2.1) about the first certificate of a PEM file, in hexadecimal. */
export function tlsaData(pem: string, selector: 0 | 1, matching: 0 | 1 | 2): string {
  const certificate = new X509Certificate(readFileSync(pem));
  const bytes = selector === 0 ? certificate.raw : certificate.publicKey.export({ type: "spki", format: "der" });
  if (matching === 0) return bytes.toString("hex");
  return createHash(matching === 1 ? "sha256" : "sha512")
    .update(bytes)
    .digest("hex");
}
