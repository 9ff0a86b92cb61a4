import type { ListenAddress } from "../../config/compiled.js";
import { formatSocketAddress } from "../../config/text-kinds.js";
import type { RunSettings } from "./figures.js";

/** Name of the shaping file next to the configuration. */
export const SHAPING_FILE = "shaping.toml";
/** The sink is on this machine, where mail is otherwise not delivered to. */
export function shapingText({ tls }: Pick<RunSettings, "tls">): string {
  return `["default"]\nprohibited_hosts = []\nenable_tls = "${tls ? "RequiredInsecure" : "Disabled"}"\n`;
}

/** Longer than any run, and shorter than a message lives: what is refused for now waits. */
const NOT_AGAIN = "8d";

/** The server's configuration for a benchmark: live, everything to the sink, ports chosen by the system, else defaults. */
export function benchConfig(
  sink: ListenAddress,
  settings: Pick<RunSettings, "workers" | "durability" | "retryMs">,
): string {
  const { workers, durability, retryMs } = settings;
  const threads = workers === null ? "" : `[threads]\nworkers = ${workers}\n`;
  const retry = retryMs === null ? NOT_AGAIN : `${retryMs}ms`;
  return `[node]
hostname = "bench.invalid"
data_dir = "var"
${threads}[delivery]
mode = "live"
[spool]
durability = "${durability}"
[[smtp_listener]]
listen = "127.0.0.1:0"
relay_hosts = ["127.0.0.0/8"]
[[http_listener]]
listen = "127.0.0.1:0"
[shaping]
files = ["${SHAPING_FILE}"]
[[queue]]
retry_interval = "${retry}"
max_retry_interval = "${retry}"
max_age = "60d"
protocol = { smtp = { mx_list = ["${formatSocketAddress(sink)}"] } }
`;
}
