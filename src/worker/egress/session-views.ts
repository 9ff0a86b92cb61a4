import type { ProxyConfig } from "../../config/compiled.js";
import { formatSocketAddress } from "../../config/text-kinds.js";
import type { SessionView } from "../../protocol/session-view.js";
import type { EgressSession } from "./session.js";

/** What a session does now. */
export function viewOf(session: EgressSession, nowMs: number): SessionView {
  session.look(nowMs);
  const { pulse, line, path } = session;
  const target = session.targets.current;
  return {
    id: session.id,
    phase: session.describe(),
    phaseMs: Math.round(nowMs - pulse.phaseSinceMs),
    quietMs: Math.round(nowMs - pulse.movedMs),
    logId: session.logId,
    host: target?.name ?? null,
    address: target?.unix ?? target?.address ?? null,
    port: target?.port ?? 0,
    tls: line.tls === null ? null : { version: line.tls.version, cipher: line.tls.cipher },
    transactions: session.transactions,
    delivered: session.delivered,
    inHand: session.messages,
    localAddress: line.localAddress,
    proxy: path.proxy === null ? null : proxyName(path.proxy),
  };
}

function proxyName({ protocol, server }: ProxyConfig): string {
  return `${protocol} ${formatSocketAddress(server)}`;
}
