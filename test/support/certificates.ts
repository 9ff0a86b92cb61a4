import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A certificate with its key, made by `openssl`, and what it takes to issue others. */
export interface Identity {
  readonly certPath: string;
  readonly keyPath: string;
  readonly pem: string;
  readonly key: string;
  readonly certificate: X509Certificate;
}

/** What a certificate says. */
export interface Wanted {
  readonly name: string;
  /** DNS names; none for an authority. */
  readonly hosts?: readonly string[];
  /** Null: signed by itself. */
  readonly issuer?: Identity | null;
  readonly days?: number;
  readonly rsa?: boolean;
  /** Leaves out whose key signed it, so that only the signature can tell. */
  readonly unlinked?: boolean;
}

let made = 0;

/** Makes a certificate in a directory. Throws with what `openssl` said when it cannot. */
export function makeCertificate(
  dir: string,
  { name, hosts = [], issuer = null, days = 30, rsa = false, unlinked = false }: Wanted,
): Identity {
  const base = join(dir, `certificate-${++made}`);
  const [certPath, keyPath, configPath] = [`${base}.pem`, `${base}.key`, `${base}.cnf`];
  const authority = hosts.length === 0;
  const extensions = authority
    ? "basicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign,cRLSign\nsubjectKeyIdentifier = hash\n"
    : `basicConstraints = CA:FALSE\nsubjectAltName = ${hosts.map((host) => `DNS:${host}`).join(",")}\n`;
  writeFileSync(
    configPath,
    `[req]\ndistinguished_name = dn\nprompt = no\n[dn]\nCN = ${name}\n[ext]\n${extensions}${unlinked ? "authorityKeyIdentifier = none\n" : ""}`,
  );
  const key = rsa ? ["rsa:2048"] : ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
  const signed = issuer === null ? [] : ["-CA", issuer.certPath, "-CAkey", issuer.keyPath];
  const fixed = [
    "req",
    "-x509",
    "-nodes",
    "-config",
    configPath,
    "-extensions",
    "ext",
    "-keyout",
    keyPath,
    "-out",
    certPath,
  ];
  const done = spawnSync("openssl", [...fixed, "-days", String(days), "-newkey", ...key, ...signed], {
    encoding: "utf8",
  });
  if (done.status !== 0) throw new Error(`openssl: ${done.stderr}`);
  const pem = readFileSync(certPath, "utf8");
  return { certPath, keyPath, pem, key: readFileSync(keyPath, "utf8"), certificate: new X509Certificate(pem) };
}
