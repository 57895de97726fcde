import type { Figure } from "./figure.ts";

/** Readable on light and on dark ground. */
export const PALETTE = ["#1f77b4", "#d9822b", "#2f9e5f", "#9a5fc4", "#c2403d"] as const;

const WIDTH = 760;
const LABELS = 330;
const VALUES = 90;
const ROW = 24;
const TOP = 16;

/**
 * Times as bars on a logarithmic scale, as an SVG that is readable on light and on dark ground. Undefined where there
 * are fewer than three to compare.
 */
export function barChart(title: string, figures: readonly Figure[]): string | undefined {
  const times = figures.filter(({ unit }) => unit === "ms");
  if (times.length < 3) return undefined;
  const lowest = Math.min(...times.map(({ value }) => value));
  const highest = Math.max(...times.map(({ value }) => value));
  const from = Math.log10(lowest) - 0.3;
  const scale = (WIDTH - LABELS - VALUES) / (Math.log10(highest) - from || 1);
  const bars = times.map(({ what, value, target }, index) => {
    const y = TOP + index * ROW;
    const length = Math.max(2, (Math.log10(value) - from) * scale);
    const limit = target ? LABELS + (Math.log10(target.limit) - from) * scale : undefined;
    const mark =
      limit !== undefined && limit <= WIDTH - VALUES
        ? `<line x1="${limit.toFixed(1)}" x2="${limit.toFixed(1)}" y1="${y - 2}" y2="${y + 18}" class="limit"/>`
        : "";
    return [
      `<text x="${LABELS - 8}" y="${y + 13}" text-anchor="end">${escaped(what.trim())}</text>`,
      `<rect x="${LABELS}" y="${y}" width="${length.toFixed(1)}" height="16" rx="2"${isOurs(what) ? "" : ' class="other"'}/>`,
      `<text x="${(LABELS + length + 6).toFixed(1)}" y="${y + 13}">${shownMs(value)}</text>`,
      mark,
    ].join("");
  });
  const height = TOP * 2 + times.length * ROW + 8;
  const said = times.map(({ what, value }) => `${what.trim()}: ${shownMs(value)}`).join("; ");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="t d">
<title id="t">${escaped(title)}</title>
<desc id="d">${escaped(`Milliseconds, logarithmic. ${said}`)}</desc>
<style>
text { font: 12px system-ui, sans-serif; fill: #222 }
rect { fill: #1f77b4 } .other { fill: #9aa5b1 } .limit { stroke: #d62728; stroke-width: 2; stroke-dasharray: 3 2 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } rect { fill: #4ea3e0 } .other { fill: #5d6873 } }
</style>
${bars.join("\n")}
<text x="${LABELS}" y="${height - 4}">milliseconds, logarithmic; dashed: target</text>
</svg>
`;
}

/** What people would use instead is drawn in another colour. */
function isOurs(what: string): boolean {
  return !/\b(restic|borg|rsync|cp -r|fs-extra|openssl|plain)\b/.test(what);
}

export function shownMs(value: number): string {
  return value < 10
    ? `${value.toFixed(1)} ms`
    : value < 10_000
      ? `${Math.round(value)} ms`
      : `${(value / 1000).toFixed(1)} s`;
}

export function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);
}
