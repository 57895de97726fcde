import { escaped, PALETTE, shownMs } from "./chart.ts";
import type { Figure } from "./figure.ts";

const WIDTH = 760;
const HEIGHT = 300;
const LEFT = 70;
const RIGHT = 230;
const TOP = 20;
const BOTTOM = 46;

interface Placed {
  readonly series: string;
  readonly axis: string;
  readonly x: number;
  readonly ms: number;
}

/** How times grow: a line for each series, both scales logarithmic. Undefined where no figure has a place on it. */
export function growthChart(title: string, figures: readonly Figure[]): string | undefined {
  const points = figures.flatMap(({ point, value, unit }): Placed[] =>
    point && unit === "ms" ? [{ ...point, ms: value }] : [],
  );
  const [first] = points;
  if (!first) return undefined;
  const across = scale(
    points.map(({ x }) => x),
    LEFT,
    WIDTH - RIGHT,
  );
  const up = scale(
    points.map(({ ms }) => ms),
    HEIGHT - BOTTOM,
    TOP,
  );
  const names = [...new Set(points.map(({ series }) => series))];
  const lines = names.map((name, index) => {
    const own = points.filter(({ series }) => series === name).sort((a, b) => a.x - b.x);
    const at = own.map(({ x, ms }) => `${across(x).toFixed(1)},${up(ms).toFixed(1)}`);
    const dots = at.map((place) => {
      const [x, y] = place.split(",");
      return `<circle cx="${x}" cy="${y}" r="3" class="d${index}"/>`;
    });
    const last = own.at(-1) as Placed;
    const y = up(last.ms) + 4;
    return {
      y,
      svg: `<polyline points="${at.join(" ")}" class="l${index}"/>${dots.join("")}`,
      label: (place: number) =>
        `<text x="${across(last.x) + 8}" y="${place.toFixed(1)}">${escaped(name)}, ${shownMs(last.ms)}</text>`,
    };
  });
  const labels = apart(lines.map(({ y }) => y)).map((place, index) => lines[index]?.label(place));
  const ticks = [...new Set(points.map(({ x }) => x))].map((x) => {
    const place = across(x).toFixed(1);
    return `<line x1="${place}" x2="${place}" y1="${TOP}" y2="${HEIGHT - BOTTOM}" class="grid"/><text x="${place}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${shortened(x)}</text>`;
  });
  const rules = powersOfTen(points.map(({ ms }) => ms)).map((ms) => {
    const place = up(ms).toFixed(1);
    return `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${place}" y2="${place}" class="grid"/><text x="${LEFT - 8}" y="${Number(place) + 4}" text-anchor="end">${shownMs(ms)}</text>`;
  });
  const said = points.map(({ series, x, ms }) => `${series} at ${x}: ${shownMs(ms)}`).join("; ");
  const colours = names.map((_, index) => {
    const colour = PALETTE[index % PALETTE.length] as string;
    return `.l${index} { stroke: ${colour} } .d${index} { fill: ${colour} }`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="t d">
<title id="t">${escaped(title)}</title>
<desc id="d">${escaped(`Time by ${first.axis}, both logarithmic. ${said}`)}</desc>
<style>
text { font: 12px system-ui, sans-serif; fill: #222 } polyline { fill: none; stroke-width: 2 } .grid { stroke: #8884 }
${colours.join("\n")}
@media (prefers-color-scheme: dark) { text { fill: #ddd } }
</style>
${[...rules, ...ticks, ...lines.map(({ svg }) => svg), ...labels].join("\n")}
<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escaped(first.axis)}; both scales are logarithmic</text>
</svg>
`;
}

function scale(values: readonly number[], from: number, to: number): (value: number) => number {
  const low = Math.log10(Math.min(...values));
  const high = Math.log10(Math.max(...values));
  return (value) => from + ((Math.log10(value) - low) / (high - low || 1)) * (to - from);
}

function powersOfTen(values: readonly number[]): number[] {
  const low = Math.ceil(Math.log10(Math.min(...values)));
  const high = Math.floor(Math.log10(Math.max(...values)));
  return Array.from({ length: Math.max(0, high - low + 1) }, (_, index) => 10 ** (low + index));
}

/** Labels that do not lie on each other. */
function apart(places: readonly number[]): number[] {
  const order = places.map((_, index) => index).sort((a, b) => (places[a] ?? 0) - (places[b] ?? 0));
  const moved = [...places];
  for (const [rank, index] of order.entries()) {
    const above = moved[order[rank - 1] ?? -1];
    if (above !== undefined) moved[index] = Math.max(moved[index] ?? 0, above + 15);
  }
  return moved;
}

function shortened(value: number): string {
  return new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value);
}
