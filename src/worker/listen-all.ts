import { Fault, messageOf } from "../base/fault.js";
import type { Reactor } from "../native/binding.js";
import type { IngressListener } from "./ingress/listener.js";
import type { Reports } from "./reports.js";

/** Has every listener listen on its port as reserved, and reports where it does, or why it cannot. */
export async function listenAll(
  listeners: readonly IngressListener[],
  reactor: Reactor,
  ports: readonly number[],
  reports: Reports,
): Promise<void> {
  for (const [index, listener] of listeners.entries()) {
    try {
      const { host, port } = await listener.listen(reactor, ports[index] ?? listener.config.listen.port);
      reports.message({ kind: "listening", listener: index, host, port });
    } catch (error) {
      const { code, message } = error instanceof Fault ? error : new Fault("listen.failed", messageOf(error));
      reports.message({ kind: "fault", code, message, shard: null });
    }
  }
  reactor.requestTurn();
}
