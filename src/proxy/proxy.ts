/**
 * A SOCKS 5 proxy for mail servers: BIND chooses the source address of the CONNECT that follows; plain CONNECT works too.
 *
 * Runs on   the thread that starts it
 * Owns      its reactor, its listener and its sessions
 * When full a connection too many, of all or of one client, is closed before a word and counted
 * On failure a lost connection ends its session and nothing else
 */
import type { SecureContext } from "node:tls";
import { SystemClock } from "../base/clock.js";
import { Fault, messageOf } from "../base/fault.js";
import type { Connection, Listener } from "../native/binding.js";
import { loadNative } from "../native/load.js";
import { noHandler } from "../native/no-handler.js";
import { PlainClient, SecureClient, secureContext } from "./client-side.js";
import { type FailureKind, ProxyCounters, type ProxyStatus } from "./counters.js";
import type { ProxyOptions } from "./options.js";
import { Rules } from "./rules.js";
import { ProxySession, type SessionParts } from "./session.js";

const ARENA_BYTES = 256 * 1024;
const BACKLOG = 1024;
const SWEEP_MS = 250;

/** A proxy that listens. */
export interface RunningProxy {
  readonly host: string;
  readonly port: number;
  status(): ProxyStatus;
  /** Takes no connection any more; resolves when the open ones have ended, or were broken off after this time. */
  drain(ms: number): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts a proxy.
 * @throws {Fault} `listen.*` when the address cannot be listened on, `config.invalid` for a certificate that is none.
 */
export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  const context = options.tls === null ? null : contextOf(options);
  const native = loadNative();
  const clock = new SystemClock();
  const { host } = options.listen;
  const reservation = await native.reservePort(host, options.listen.port);
  const counters = new ProxyCounters();
  const sessions = new Map<ProxySession, true>();
  const perClient = new Map<string, number>();
  const reactor = native.createReactor({ arenaBytes: ARENA_BYTES, onTurn: () => {} });
  let drained = (): void => {};
  const parts: SessionParts = {
    native,
    reactor,
    options,
    rules: new Rules(options),
    counters,
    nowMs: () => clock.monoMs(),
    over(session) {
      if (!sessions.delete(session)) return;
      const left = (perClient.get(session.client) ?? 1) - 1;
      if (left === 0) perClient.delete(session.client);
      else perClient.set(session.client, left);
      if (sessions.size === 0) drained();
    },
  };
  const refusal = (client: string): FailureKind | null => {
    if (!parts.rules.mayUse(client)) return "client";
    const full = sessions.size >= options.maxConnections || (perClient.get(client) ?? 0) >= options.maxPerClient;
    return full ? "limit" : null;
  };
  const take = (connection: Connection): void => {
    const client = connection.remoteAddress;
    const refused = refusal(client);
    if (refused !== null) {
      counters.fail(refused);
      connection.handler = { ...noHandler };
      connection.destroy();
      return;
    }
    counters.accepted++;
    perClient.set(client, (perClient.get(client) ?? 0) + 1);
    const session = new ProxySession(client, parts);
    sessions.set(session, true);
    session.begin(sideOf(connection, session));
  };
  const sideOf = (connection: Connection, session: ProxySession): PlainClient | SecureClient => {
    if (context === null) return new PlainClient(reactor, connection, session);
    connection.handler = { ...noHandler };
    return new SecureClient(connection, context, session);
  };
  let listener: Listener;
  try {
    listener = reactor.listen({ host, port: reservation.port, backlog: BACKLOG }, take);
    await listener.ready;
  } catch (error) {
    reactor.close();
    reservation.release();
    throw error;
  }
  const sweep = setInterval(() => {
    for (const session of sessions.keys()) session.sweep(clock.monoMs());
  }, SWEEP_MS);
  const stop = async (): Promise<void> => {
    clearInterval(sweep);
    listener.close();
    for (const session of [...sessions.keys()]) session.destroy();
    reactor.close();
    reservation.release();
  };
  return {
    host,
    port: reservation.port,
    status: () => statusOf(counters, [...sessions.keys()]),
    async drain(ms) {
      listener.close();
      if (sessions.size === 0) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        drained = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    },
    stop,
  };
}

function contextOf(options: ProxyOptions): SecureContext | null {
  try {
    return options.tls === null ? null : secureContext(options.tls);
  } catch (error) {
    throw new Fault("config.invalid", `certificate and key: ${messageOf(error)}`, { cause: error });
  }
}

/** The counters, with what the relays under way have moved so far. */
function statusOf(counters: ProxyCounters, sessions: readonly ProxySession[]): ProxyStatus {
  const relays = sessions.flatMap(({ relay }) => (relay === null ? [] : [relay]));
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  return {
    accepted: counters.accepted,
    active: sessions.length,
    relaying: relays.length,
    completed: counters.completed,
    failed: Object.fromEntries(counters.failed),
    outbound: counters.outbound,
    tlsFailures: counters.tlsFailures,
    bytesClientToDestination: counters.clientToDestination + sum(relays.map((relay) => relay.toSecondBytes)),
    bytesDestinationToClient: counters.destinationToClient + sum(relays.map((relay) => relay.toFirstBytes)),
  };
}
