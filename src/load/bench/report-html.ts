import { escapeText } from "./chart.js";
import { whatWasMeasured } from "./described.js";
import type { BenchReport, Latencies, RunFigures } from "./figures.js";
import { latencyPlot, sweepPlot, throughputPlot } from "./plots.js";
import { reportText } from "./report-text.js";

const MIB = 2 ** 20;
/** Threads below are left out. */
const SMALLEST_US = 0.05;
const PERCENTILES = ["min", "mean", "p50", "p75", "p90", "p95", "p99", "p99.9", "max"];

const STYLE = `
:root { color-scheme: light dark; --ink: #1f2430; --soft: #5c6472; --grid: #e3e6eb; --page: #ffffff; --card: #f6f7f9;
  --one: #2f6fde; --two: #c2570c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaee; --soft: #a2a9b5; --grid: #363c47; --page: #16191f;
  --card: #1f232b; --one: #7aa7f7; --two: #f0985a; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 780px;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; } p { color: var(--soft); margin: .3rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; margin: 1rem 0; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
code { font: 12px ui-monospace, monospace; } code span { display: inline-block; max-width: 100%; }
@media (max-width: 480px) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; } }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: .75rem; margin: 1.25rem 0; }
.tile { background: var(--card); border-radius: 8px; padding: .75rem 1rem; }
.tile { overflow-wrap: anywhere; } .tile b { display: block; font-size: 1.5rem; font-weight: 600; } .tile span { color: var(--soft); font-size: .85rem; }
figure { margin: 1.5rem 0; } figcaption { font-weight: 600; margin-bottom: .25rem; }
svg { width: 100%; height: auto; display: block; }
.grid { stroke: var(--grid); } .axis { stroke: var(--soft); }
.tick, .label { fill: var(--soft); font: 12px system-ui, sans-serif; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; } .line.c1 { stroke: var(--one); } .line.c2 { stroke: var(--two); }
.dot { stroke: var(--page); stroke-width: 1.5; } .dot.c1 { fill: var(--one); } .dot.c2 { fill: var(--two); }
.hover { fill: transparent; }
.key { display: inline-block; color: var(--soft); font-size: .85rem; margin-right: 1.25rem; }
.key::before { content: ""; display: inline-block; width: 14px; height: 3px; margin-right: .4rem; vertical-align: middle; }
.key1::before { background: var(--one); } .key2::before { background: var(--two); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { white-space: nowrap; text-align: right; padding: .25rem .5rem; border-bottom: 1px solid var(--grid); }
th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 500; }
pre { background: var(--card); border-radius: 8px; padding: .75rem 1rem; overflow-x: auto; font-size: 12px; }
`;

/** The report as one page: no script, nothing loaded from elsewhere. */
export function reportHtml(report: BenchReport, at: Date): string {
  const { result, sweeps } = report;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hikyaku benchmark</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Hikyaku benchmark</h1>
<p>${at.toISOString().slice(0, 16).replace("T", " ")} UTC</p>
${facts(report)}
<div class="tiles">
${tiles(report).join("\n")}
</div>
${sweeps.map((sweep) => sweepPlot(sweep) + tomlBlock(sweep.toml)).join("")}${throughputPlot(result.timeline)}${latencyPlot(result.transit)}<h2>Latency, ms</h2>
${latencyTable(result)}
<h2>CPU of the server, µs per message</h2>
${threadTable(result)}
<h2>Everything as text</h2>
<pre>${escapeText(reportText(report))}</pre>
</body>
</html>
`;
}

function facts(report: BenchReport): string {
  const rows = whatWasMeasured(report).map(([name, text]) => {
    const shown = name === "Command" ? commandBlock(text) : escapeText(text);
    return `<dt>${escapeText(name)}</dt><dd>${shown}</dd>`;
  });
  return `<dl>\n${rows.join("\n")}\n</dl>`;
}

/** Lines break between words, never inside an option. */
function commandBlock(command: string): string {
  const words = command.split(" ").map((word) => `<span>${escapeText(word)}</span>`);
  return `<code>${words.join(" ")}</code>`;
}

function tiles(report: BenchReport): string[] {
  const { result, baseline, load } = report;
  const found = [
    tile(result.endToEnd.messagesPerSecond.toFixed(0), "messages per second, end to end"),
    tile(`${result.transit.latencyMs["p50"] ?? 0} ms`, "median latency, from the server's 250 to the sink's"),
    tile(`${result.transit.latencyMs["p99"] ?? 0} ms`, "99 % of the messages took at most this"),
  ];
  if (result.server.cpuUsPerMessage !== null) {
    found.push(tile(`${result.server.cpuUsPerMessage.toFixed(1)} µs`, "CPU of the server per message, all threads"));
    found.push(tile(`${(result.server.maxRssBytes / MIB).toFixed(0)} MiB`, "memory of the server at its highest"));
  }
  if (result.spool !== null) found.push(tile(String(result.spool.operationsPerBatch), "spool operations per commit"));
  if (load !== null) {
    found.push(tile(load.maximum.endToEnd.messagesPerSecond.toFixed(0), "messages per second at the maximum load"));
  }
  if (baseline !== null)
    found.push(tile(baseline.ratios.throughput.toFixed(3), "of the rate of source and sink alone"));
  return found;
}

function tile(value: string, name: string): string {
  return `<div class="tile"><b>${escapeText(value)}</b><span>${escapeText(name)}</span></div>`;
}

function tomlBlock(toml: string | null): string {
  return toml === null ? "" : `<pre>${escapeText(toml)}</pre>\n`;
}

function latencyTable(run: RunFigures): string {
  const row = (name: string, values: Latencies) => [name, ...PERCENTILES.map((key) => String(values[key] ?? ""))];
  return table(
    ["", ...PERCENTILES],
    [row("250 to remote 250", run.transit.latencyMs), row("first command to 250", run.injection.latencyMs)],
  );
}

function threadTable(run: RunFigures): string {
  const busy = run.server.threads.filter((thread) => thread.cpuUsPerMessage >= SMALLEST_US);
  const rows = busy.map(({ name, id, cpuUsPerMessage }) => [`${name} ${id}`, cpuUsPerMessage.toFixed(2)]);
  return table(["thread", "µs per message"], rows);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (tag: string, row: readonly string[]) =>
    `<tr>${row.map((cell) => `<${tag}>${escapeText(cell)}</${tag}>`).join("")}</tr>`;
  return `<div class="wide"><table>\n${[cells("th", head), ...rows.map((row) => cells("td", row))].join("\n")}\n</table></div>`;
}
