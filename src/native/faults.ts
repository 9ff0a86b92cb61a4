import { errnoOf, Fault, type FaultCode, messageOf } from "../base/fault.js";

/** A fault of listening: its code says whether the address is taken, forbidden, or otherwise not to be had. */
export function listenFault(host: string, port: number, errno: string): Fault {
  let code: FaultCode = "listen.failed";
  if (errno === "EADDRINUSE") code = "listen.in-use";
  if (errno === "EACCES" || errno === "EPERM") code = "listen.denied";
  const shown = host.includes(":") ? `[${host}]` : host;
  return new Fault(code, `cannot listen on ${shown}:${port}: ${errno}`, { errno });
}

/** A fault of a connection; `action` is what was tried, `peer` with whom. */
export function socketFault(action: string, peer: string, errno: string): Fault {
  return new Fault("socket.failed", `${action} ${peer}: ${errno}`, { errno });
}

/** A fault made from what a call of Node's threw or rejected with. */
export function faultFrom(code: FaultCode, message: string, error: unknown): Fault {
  const errno = errnoOf(error);
  return new Fault(code, `${message}: ${errno ?? messageOf(error)}`, { errno, cause: error });
}
