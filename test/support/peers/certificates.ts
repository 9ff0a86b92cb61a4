/**
 * A certificate authority for tests, made with `openssl`: a root or one under another, certificates for servers and for
 * clients, good ones and such as nobody should accept. All files live in the directory that it was given.
 */
import { spawnSync } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A certificate and its key, as files and as servers are told. */
export interface CertificateFiles {
  /** PEM: the certificate, then those of the authorities between it and the root. */
  readonly chain: string;
  /** PEM, without a password. */
  readonly key: string;
}

/** What to put into a certificate. */
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

const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

function openssl(...args: readonly string[]): void {
  const done = spawnSync("openssl", args, { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`openssl ${args[0]}: ${done.error?.message ?? done.stderr}`);
}

/** See the file's header. */
export class TestAuthority {
  /** PEM of this authority's own certificate: for a root, what those who trust it are given. */
  readonly certificate: string;
  readonly #key: string;
  readonly #dir: string;
  readonly #parent: TestAuthority | null;
  #count = 0;

  private constructor(dir: string, name: string, parent: TestAuthority | null) {
    this.#dir = dir;
    this.#parent = parent;
    this.certificate = join(dir, `${name}.pem`);
    this.#key = join(dir, `${name}.key`);
  }

  /** A root; `name` tells it from others in the same directory. */
  static root(dir: string, name = "root"): TestAuthority {
    const made = new TestAuthority(dir, name, null);
    const out = ["-keyout", made.#key, "-out", made.certificate, "-days", "30"];
    // That it is an authority is the default.
    openssl(
      "req",
      "-x509",
      ...EC,
      ...out,
      "-subj",
      `/CN=Test ${name}`,
      "-addext",
      "keyUsage=critical,keyCertSign,cRLSign",
    );
    return made;
  }

  /** An authority under this one. */
  under(name: string): TestAuthority {
    const made = new TestAuthority(this.#dir, name, this);
    this.#sign(name, `/CN=Test ${name}`, 30, [
      "basicConstraints=critical,CA:TRUE",
      "keyUsage=critical,keyCertSign,cRLSign",
    ]);
    return made;
  }

  /** A certificate signed by this authority. */
  issue(options: CertificateOptions): CertificateFiles {
    const name = `${this.certificate.replace(/^.*\/|\.pem$/g, "")}-${++this.#count}`;
    const subjects = [
      ...options.names.map((one) => `DNS:${one}`),
      ...(options.addresses ?? []).map((one) => `IP:${one}`),
    ];
    this.#sign(name, `/CN=${options.names[0] ?? "nobody"}`, options.expired === true ? -1 : 30, [
      "basicConstraints=CA:FALSE",
      `extendedKeyUsage=${options.use ?? "serverAuth,clientAuth"}`,
      ...(subjects.length === 0 ? [] : [`subjectAltName=${subjects.join(",")}`]),
    ]);
    const chain = join(this.#dir, `${name}-chain.pem`);
    writeFileSync(chain, readFileSync(join(this.#dir, `${name}.pem`), "utf8") + this.#between());
    return { chain, key: join(this.#dir, `${name}.key`) };
  }

  /** A certificate that vouches for itself. */
  static selfSigned(dir: string, host: string): CertificateFiles {
    const files = { chain: join(dir, `self-${host}.pem`), key: join(dir, `self-${host}.key`) };
    const out = ["-keyout", files.key, "-out", files.chain, "-days", "30"];
    openssl("req", "-x509", ...EC, ...out, "-subj", `/CN=${host}`, "-addext", `subjectAltName=DNS:${host}`);
    return files;
  }

  #sign(name: string, subject: string, days: number, extensions: readonly string[]): void {
    const at = (suffix: string): string => join(this.#dir, `${name}${suffix}`);
    openssl("req", "-new", ...EC, "-keyout", at(".key"), "-out", at(".csr"), "-subj", subject);
    writeFileSync(at(".ext"), `${extensions.join("\n")}\n`);
    const signer = ["-CA", this.certificate, "-CAkey", this.#key, "-CAcreateserial"];
    openssl(
      "x509",
      "-req",
      "-in",
      at(".csr"),
      ...signer,
      "-days",
      `${days}`,
      "-extfile",
      at(".ext"),
      "-out",
      at(".pem"),
    );
  }

  /** The certificates from this authority up to the root, without it. */
  #between(): string {
    return this.#parent === null ? "" : readFileSync(this.certificate, "utf8") + this.#parent.#between();
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
