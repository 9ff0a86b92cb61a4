import { existsSync } from "node:fs";
import type { CompiledConfig, ListenAddress } from "../config/compiled.js";
import { ConfigFault } from "../config/load.js";
import { formatSocketAddress } from "../config/text-kinds.js";
import { configPath, EX_CONFIG, EX_USAGE, explainConfig, loadWithoutSecrets } from "./config-argument.js";

/** Where commands find a running server when nothing else is said. */
export const DEFAULT_ENDPOINT = "http://127.0.0.1:8000";

/** What help says of `--endpoint`. */
export const ENDPOINT_HELP = `the server's HTTP listener (default: that of --config; HIKYAKU_ENDPOINT; that of HIKYAKU_CONFIG, ./hikyaku.toml, /etc/hikyaku/hikyaku.toml; ${DEFAULT_ENDPOINT})`;

/** The options by which a command is told where its server is. */
export interface EndpointFlags {
  readonly endpoint?: string;
  readonly config?: string;
}

/** A server that was found, or why there is none to ask. */
export type FoundEndpoint =
  | { readonly url: URL; readonly shown: string; readonly config: CompiledConfig | null }
  | { readonly refusal: string; readonly exitCode: number };

/**
 * Where a running server listens for HTTP: `--endpoint`, `--config`, HIKYAKU_ENDPOINT, HIKYAKU_CONFIG, `./hikyaku.toml`,
 * `/etc/hikyaku/hikyaku.toml`, {@link DEFAULT_ENDPOINT}: the first that is there. With it the configuration, where one
 * was read; that of `--config` is read beside `--endpoint` too, as it says where the spool is.
 *
 * A configuration that is meant and has no such listener is a refusal: the default may be another server.
 */
export function findEndpoint(flags: EndpointFlags, env: NodeJS.ProcessEnv): FoundEndpoint {
  const fromEnvironment = flags.config === undefined ? (env["HIKYAKU_ENDPOINT"] ?? "") : "";
  const named = flags.endpoint ?? (fromEnvironment === "" ? undefined : fromEnvironment);
  if (named !== undefined) {
    const url = serverUrl(named);
    if (url === null) {
      const refusal = `the endpoint ${JSON.stringify(named)} is no URL of a server, such as ${DEFAULT_ENDPOINT}`;
      return { refusal, exitCode: EX_USAGE };
    }
    if (flags.config === undefined) return { url, shown: named, config: null };
    const loaded = load(flags.config);
    return "refusal" in loaded ? loaded : { url, shown: named, config: loaded };
  }
  const path = configPath(flags.config);
  const meant = flags.config !== undefined || (env["HIKYAKU_CONFIG"] ?? "") !== "";
  if (!meant && !existsSync(path)) return { url: new URL(DEFAULT_ENDPOINT), shown: DEFAULT_ENDPOINT, config: null };
  const loaded = load(path);
  if ("refusal" in loaded) return loaded;
  const endpoint = endpointOf(loaded.httpListeners.map(({ listen }) => listen));
  if (endpoint !== null) return { url: new URL(endpoint), shown: endpoint, config: loaded };
  const refusal = `${path} has no HTTP listener with a fixed port; name where it listens with --endpoint`;
  return { refusal, exitCode: 1 };
}

/**
 * The URL of the first listener whose port is known beforehand; an address that means all of the machine's is asked on
 * the loopback. Null when there is none.
 */
export function endpointOf(listeners: readonly ListenAddress[]): string | null {
  const listen = listeners.find(({ port }) => port !== 0);
  if (listen === undefined) return null;
  const host = { "0.0.0.0": "127.0.0.1", "::": "::1" }[listen.host] ?? listen.host;
  return `http://${formatSocketAddress({ host, port: listen.port })}`;
}

function serverUrl(text: string): URL | null {
  return /^https?:\/\//i.test(text) && URL.canParse(text) ? new URL(text) : null;
}

/** A configuration, without its warnings and secrets: they are for whoever starts or checks it. */
function load(path: string): CompiledConfig | { readonly refusal: string; readonly exitCode: number } {
  try {
    return loadWithoutSecrets(path).config;
  } catch (error) {
    if (!(error instanceof ConfigFault)) throw error;
    return { refusal: explainConfig(path, error), exitCode: EX_CONFIG };
  }
}
