/** A server that speaks the part of Vault's interface that secrets are read by. */
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";

/** What it holds and how it behaves; may be changed while it runs. */
export interface VaultState {
  token: string;
  /** By `mount/path`; null for one that was deleted (second version only). */
  secrets: Record<string, Readonly<Record<string, unknown>> | null>;
  /** Version of each engine by its mount. */
  readonly mounts: Record<string, 1 | 2>;
  /** Tells versions, as Vaults since 0.10 do. */
  tells: boolean;
  /** Answers nothing but this. */
  status: number | null;
  /** Does not answer at all. */
  silent: boolean;
}

/** A running Vault. */
export interface TestVault {
  readonly url: string;
  readonly state: VaultState;
  /** What was asked for, in order. */
  readonly asked: { readonly path: string; readonly headers: IncomingMessage["headers"] }[];
  stop(): Promise<void>;
}

/** Starts one on a free port, or on one that another one had; over TLS with a certificate. */
export async function startVault(
  port = 0,
  tls: { readonly key: string; readonly cert: string } | null = null,
): Promise<TestVault> {
  const state: VaultState = { token: "s.good", secrets: {}, mounts: {}, tells: true, status: null, silent: false };
  const asked: TestVault["asked"] = [];
  const answer: RequestListener = (request, response) => {
    const path = decodeURIComponent(request.url ?? "");
    asked.push({ path, headers: request.headers });
    if (state.silent) return;
    const [status, body] = replyTo(state, path, request.headers["x-vault-token"] === state.token);
    const headers = { "content-type": "application/json", location: "http://192.0.2.1/" };
    response.writeHead(status, headers).end(JSON.stringify(body));
  };
  const server: Server = tls === null ? createServer(answer) : createSecureServer({ ...tls }, answer);
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const url = `${tls === null ? "http" : "https"}://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const stop = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { url, state, asked, stop };
}

type Reply = readonly [status: number, body: unknown];

function replyTo(state: VaultState, path: string, known: boolean): Reply {
  if (state.status !== null) return [state.status, { errors: ["as ordered"] }];
  if (!known) return [403, { errors: ["permission denied"] }];
  const question = /^\/v1\/sys\/internal\/ui\/mounts\/(.*)$/.exec(path);
  if (question !== null) {
    const version = state.mounts[question[1] ?? ""];
    if (!state.tells || version === undefined) return [state.tells ? 403 : 404, { errors: [] }];
    return [200, { data: { type: "kv", path: `${question[1]}/`, options: version === 2 ? { version: "2" } : null } }];
  }
  for (const [mount, version] of Object.entries(state.mounts)) {
    const prefix = version === 2 ? `/v1/${mount}/data/` : `/v1/${mount}/`;
    if (!path.startsWith(prefix)) continue;
    const secret = state.secrets[`${mount}/${path.slice(prefix.length)}`];
    if (secret === undefined) return [404, { errors: [] }];
    if (version === 1) return [200, { data: secret }];
    const metadata = { version: 3, deletion_time: secret === null ? "2026-01-01T00:00:00Z" : "", destroyed: false };
    return [secret === null ? 404 : 200, { data: { data: secret, metadata } }];
  }
  return [404, { errors: [] }];
}
