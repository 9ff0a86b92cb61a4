/**
 * Small charts as inline SVG: colours come from the page's style sheet by class, so that they follow light and dark; a
 * point's `title` is what browsers show when it is pointed at. Nothing is loaded, and no script runs.
 */

/** A position of an axis with its label. */
export interface Tick {
  readonly at: number;
  readonly label: string;
}

/** How values become positions. */
export interface Axis {
  readonly label: string;
  readonly ticks: readonly Tick[];
  readonly low: number;
  readonly high: number;
}

/** One line of a chart. */
export interface Series {
  readonly name: string;
  /** 1 or 2: which of the page's colours. */
  readonly colour: 1 | 2;
  readonly points: readonly { readonly x: number; readonly y: number; readonly title: string }[];
  /** Draw the points, too. */
  readonly dots: boolean;
  readonly line: boolean;
}

/** What a chart shows. */
export interface Chart {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
}

const WIDTH = 720;
const HEIGHT = 280;
const LEFT = 68;
const RIGHT = 32;
const TOP = 16;
const BOTTOM = 44;

/** Escapes text for HTML and SVG. */
export function escapeText(text: string): string {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** Round steps from 0 to at least `high`, four or five of them. */
export function roundTicks(high: number): readonly Tick[] {
  const rough = Math.max(high, 1e-9) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  const count = Math.ceil(high / step - 1e-9);
  return Array.from({ length: Math.max(1, count) + 1 }, (_, i) => ({ at: i * step, label: number(i * step) }));
}

/** Powers of ten that enclose both values; positions are their logarithms. */
export function logTicks(low: number, high: number): readonly Tick[] {
  const from = Math.floor(Math.log10(low));
  const to = Math.max(from + 1, Math.ceil(Math.log10(high)));
  return Array.from({ length: to - from + 1 }, (_, i) => ({ at: from + i, label: number(10 ** (from + i)) }));
}

function number(value: number): string {
  return Number(value.toPrecision(6)).toLocaleString("en-US", { maximumFractionDigits: 6 });
}

/** Draws it. */
export function chartSvg(chart: Chart): string {
  const { x, y } = chart;
  const across = (value: number) => place(value, x, LEFT, WIDTH - RIGHT);
  const up = (value: number) => place(value, y, HEIGHT - BOTTOM, TOP);
  const parts = [
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeText(chart.title)}">`,
    ...y.ticks.map(
      ({ at, label }) =>
        `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${up(at)}" y2="${up(at)}"/>` +
        `<text class="tick" x="${LEFT - 8}" y="${up(at)}" dy="0.32em" text-anchor="end">${escapeText(label)}</text>`,
    ),
    ...x.ticks.map(
      ({ at, label }) =>
        `<text class="tick" x="${across(at)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${escapeText(label)}</text>`,
    ),
    `<line class="axis" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${up(y.low)}" y2="${up(y.low)}"/>`,
    `<text class="label" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 6}" text-anchor="middle">${escapeText(x.label)}</text>`,
    `<text class="label" transform="translate(14 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">${escapeText(y.label)}</text>`,
    ...chart.series.flatMap((series) => drawn(series, across, up)),
    "</svg>",
  ];
  const legend = chart.series.map((one) => `<span class="key key${one.colour}">${escapeText(one.name)}</span>`);
  return `<figure><figcaption>${escapeText(chart.title)}</figcaption>${legend.join("")}${parts.join("\n")}</figure>\n`;
}

function place(value: number, axis: Axis, from: number, to: number): number {
  const part = axis.high === axis.low ? 0.5 : (value - axis.low) / (axis.high - axis.low);
  return Math.round((from + part * (to - from)) * 10) / 10;
}

function drawn(series: Series, across: (value: number) => number, up: (value: number) => number): string[] {
  const parts: string[] = [];
  const { points, colour } = series;
  if (series.line && points.length > 1) {
    const path = points.map(({ x, y }) => `${across(x)} ${up(y)}`).join(" L ");
    parts.push(`<path class="line c${colour}" d="M ${path}"/>`);
  }
  // Where there are no dots, a wide invisible one is still there to be pointed at.
  const look = series.dots ? `dot c${colour}` : "hover";
  for (const { x, y, title } of points) {
    parts.push(
      `<circle class="${look}" cx="${across(x)}" cy="${up(y)}" r="4"><title>${escapeText(title)}</title></circle>`,
    );
  }
  return parts;
}
