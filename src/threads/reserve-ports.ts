import { Fault, type FaultCode } from "../base/fault.js";
import type { Undo } from "../base/undo.js";
import type { ListenAddress, SmtpListenerConfig } from "../config/compiled.js";
import { formatSocketAddress } from "../config/text-kinds.js";
import type { Native } from "../native/binding.js";

/**
 * Reserves every SMTP port for this process, so that a port in use is one clear line, and port 0 is one port for all
 * workers. Returns the ports in the listeners' order.
 * @throws {Fault} `listen.in-use`, `listen.denied`, `listen.failed`.
 */
export async function reservePorts(
  native: Native,
  listeners: readonly SmtpListenerConfig[],
  undo: Undo,
): Promise<number[]> {
  const ports: number[] = [];
  for (const { listen } of listeners) {
    const reserved = await native.reservePort(listen.host, listen.port).catch((error: unknown) => {
      throw explainPort(error, listen);
    });
    // Where only one thread can listen, the reservation would be in its way.
    if (native.perThreadListeners) undo.push(() => reserved.release());
    else reserved.release();
    ports.push(reserved.port);
  }
  return ports;
}

/** A port that cannot be had, in words for whoever wrote the configuration. */
function explainPort(error: unknown, listen: ListenAddress): unknown {
  if (!(error instanceof Fault)) return error;
  const why: Partial<Record<FaultCode, string>> = {
    "listen.in-use": "the port is in use by another process",
    "listen.denied": "not permitted (ports below 1024 need a privilege)",
  };
  const text = `smtp_listener ${formatSocketAddress(listen)}: ${why[error.code] ?? error.message}`;
  return new Fault(error.code, text, { errno: error.errno, cause: error });
}
