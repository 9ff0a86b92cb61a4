import type { Durability, ListenAddress } from "../../config/compiled.js";
import { formatSocketAddress } from "../../config/text-kinds.js";

/** Name of the shaping file next to the configuration. */
export const SHAPING_FILE = "shaping.toml";
/** The sink is on this machine, where mail is otherwise not delivered to. */
export const SHAPING_TEXT = '["default"]\nprohibited_hosts = []\n';

/** The server's configuration for a benchmark: live, everything to the sink, ports chosen by the system, else defaults. */
export function benchConfig(options: {
  readonly sink: ListenAddress;
  readonly workers: number | null;
  readonly durability: Durability;
}): string {
  const threads = options.workers === null ? "" : `[threads]\nworkers = ${options.workers}\n`;
  return `[node]
hostname = "bench.invalid"
data_dir = "var"
${threads}[delivery]
mode = "live"
[spool]
durability = "${options.durability}"
[[smtp_listener]]
listen = "127.0.0.1:0"
relay_hosts = ["127.0.0.0/8"]
[[http_listener]]
listen = "127.0.0.1:0"
[shaping]
files = ["${SHAPING_FILE}"]
[[queue]]
protocol = { smtp = { mx_list = ["${formatSocketAddress(options.sink)}"] } }
`;
}
