import { readFileSync } from "node:fs";
import { choice, flag, type Kind, list } from "../config/kinds.js";
import { secret } from "../config/secret.js";
import { required, setting, table } from "../config/table.js";
import { text } from "../config/text-kinds.js";
import { certificates, isPem, privateKey } from "../config/tls-kinds.js";
import type { SinkAuth, SinkTls } from "./options.js";

/** `[tls]` and `[auth]` of a sink's profile. */

const tls = {
  mode: setting("mode", choice("offered", "required"), {
    fallback: "offered" as const,
    about: "Whether mail is taken without TLS.",
  }),
  certificate: setting("certificate", certificates(), {
    fallback: null,
    about: "Certificate and its chain; without it the sink makes one for its name.",
  }),
  key: setting("key", privateKey(), { fallback: null, about: "Key of the certificate." }),
  maxVersion: setting("max_version", choice("TLSv1.2", "TLSv1.3"), {
    fallback: null,
    about: "Highest version that is spoken.",
  }),
  fault: setting("fault", choice("none", "refuse", "inject", "hang", "garbage"), {
    fallback: "none" as const,
    about:
      "What goes wrong: STARTTLS is refused, a reply in clear comes before the handshake, the handshake is not answered, or in clear.",
  }),
};

/** `[tls]`. */
export const sinkTls: Kind<SinkTls> = table(Object.values(tls), (reader) => {
  const certificate = reader.get(tls.certificate);
  const key = reader.get(tls.key);
  if ((certificate === null) !== (key === null)) {
    return reader.check.error(reader.at, "certificate and key go together, and one is missing");
  }
  return {
    mode: reader.get(tls.mode),
    certificate: held(certificate),
    key: held(key),
    maxVersion: reader.get(tls.maxVersion),
    fault: reader.get(tls.fault),
  };
});

/** The PEM text of a path, or the text itself. The kind has read the file already. */
function held(source: string | null): string | null {
  return source === null || isPem(source) ? source : readFileSync(source, "utf8");
}

const auth = {
  username: required("username", text({ max: 500 }), { about: "Who may send." }),
  password: required("password", secret({ max: 4000 }), { about: "The password, or the token for XOAUTH2." }),
  mechanisms: setting("mechanisms", list(choice("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2"), { what: "mechanisms" }), {
    fallback: ["PLAIN", "LOGIN"] as const,
    about: "What is offered.",
  }),
  required: setting("required", flag(), { fallback: true, about: "No mail is taken without it." }),
  inClear: setting("in_clear", flag(), { fallback: false, about: "Offered without TLS too." }),
};

/** `[auth]`. */
export const sinkAuth: Kind<SinkAuth> = table(Object.values(auth), (reader) => {
  const username = reader.get(auth.username);
  const password = reader.get(auth.password);
  if (username === undefined || password === undefined) return undefined;
  return {
    username,
    password,
    mechanisms: reader.get(auth.mechanisms),
    required: reader.get(auth.required),
    inClear: reader.get(auth.inClear),
  };
});
