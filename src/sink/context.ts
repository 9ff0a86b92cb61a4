import { createSecureContext, type SecureContext } from "node:tls";
import { Fault, messageOf } from "../base/fault.js";
import { selfSigned } from "./certificate.js";
import type { SinkProfile, SinkTls } from "./options.js";

/**
 * TLS of a sink, with the certificate that it was given or one of its own making.
 * @throws {Fault} `config.invalid` when certificate and key cannot be used.
 */
export function sinkContext({ hostname }: SinkProfile, tls: SinkTls, nowMs: number): SecureContext {
  const given = tls.certificate !== null && tls.key !== null ? { certificate: tls.certificate, key: tls.key } : null;
  const { certificate, key } = given ?? selfSigned([hostname], nowMs);
  try {
    return createSecureContext({
      cert: certificate,
      key,
      minVersion: "TLSv1.2",
      ...(tls.maxVersion === null ? {} : { maxVersion: tls.maxVersion }),
    });
  } catch (error) {
    throw new Fault("config.invalid", `the sink's certificate cannot be used: ${messageOf(error)}`, { cause: error });
  }
}
