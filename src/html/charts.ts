import { highestOf } from "../util/extremes.ts";
import { formatBytes, formatCount, formatTime } from "../util/format.ts";
import { escapeHtml } from "./html.ts";

/** A chart's frame: its size, and the room that labels take. */
interface Frame {
  readonly width: number;
  readonly height: number;
  readonly left: number;
}

const WIDE: Frame = { width: 840, height: 220, left: 70 };
const SMALL: Frame = { width: 360, height: 160, left: 60 };
const [TOP, RIGHT, BOTTOM] = [16, 16, 28];

let serial = 0;

/** With a name and a description for who does not see it. */
function svg({ width, height }: Frame, title: string, description: string, content: string): string {
  const id = `chart-${++serial}`;
  const shape = width === WIDE.width ? ' class="wide"' : "";
  return `<svg${shape} viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="${id}-title ${id}-text">
<title id="${id}-title">${escapeHtml(title)}</title><desc id="${id}-text">${escapeHtml(description)}</desc>
${content}</svg>`;
}

export interface Mark {
  readonly at: Date;
  readonly label: string;
  /** The row that it stands in. */
  readonly lane: string;
  readonly isNamed: boolean;
}

/** Snapshots on a line of time, a lane for each database. */
export function timeline(title: string, marks: readonly Mark[]): string {
  const lanes = [...new Set(marks.map(({ lane }) => lane))];
  const frame = { ...WIDE, height: TOP + lanes.length * 44 + BOTTOM, left: 16 };
  const [first, last] = rangeOf(marks.map(({ at }) => at.getTime()));
  const x = (time: number) => place(time, first, last, frame.left + 8, frame.width - RIGHT - 8);
  const base = frame.height - BOTTOM;
  const parts = lanes.map((lane, index) => {
    const y = TOP + index * 44 + 30;
    const dots = marks
      .filter((mark) => mark.lane === lane)
      .map(({ at, label, isNamed }) => {
        const hint = `<title>${escapeHtml(label)}</title>`;
        const center = x(at.getTime());
        return isNamed
          ? `<rect class="two" x="${round(center - 6)}" y="${y - 6}" width="12" height="12" rx="2">${hint}</rect>`
          : `<circle class="one" cx="${round(center)}" cy="${y}" r="6">${hint}</circle>`;
      });
    return `<text x="${frame.left}" y="${y - 14}">${escapeHtml(lane)}</text>
<line class="axis" x1="${frame.left}" x2="${frame.width - RIGHT}" y1="${y}" y2="${y}"/>${dots.join("")}`;
  });
  parts.push(
    `<text x="${frame.left}" y="${base + 18}">${formatTime(new Date(first))}</text>`,
    `<text x="${frame.width - RIGHT}" y="${base + 18}" text-anchor="end">${formatTime(new Date(last))}</text>`,
  );
  const description = `${marks.length} snapshots of ${lanes.length} databases, from ${formatTime(new Date(first))} to ${formatTime(new Date(last))}. Squares have a name or a tag.`;
  return svg(frame, title, description, parts.join("\n"));
}

export interface Bar {
  readonly label: string;
  readonly value: number;
}

/** Bars of bytes, side by side, oldest first. */
export function bars(title: string, items: readonly Bar[], style: "one" | "two"): string {
  const frame = WIDE;
  const highest = highestOf(
    1,
    items.map(({ value }) => value),
  );
  const step = (frame.width - frame.left - RIGHT) / Math.max(1, items.length);
  const width = Math.min(48, Math.max(1, step * 0.7));
  const base = frame.height - BOTTOM;
  const drawn = items.map(({ label, value }, index) => {
    const height = value === 0 ? 0 : Math.max(1, (value / highest) * (base - TOP));
    const x = frame.left + index * step + (step - width) / 2;
    return `<rect class="${style}" x="${round(x)}" y="${round(base - height)}" width="${round(width)}" height="${round(height)}"><title>${escapeHtml(`${label}: ${formatBytes(value)}`)}</title></rect>`;
  });
  const [least = 0, most = 0] = rangeOf(items.map(({ value }) => value));
  const description = `${items.length} bars, from ${formatBytes(least)} to ${formatBytes(most)}; the last is ${formatBytes(items.at(-1)?.value ?? 0)}.`;
  const ends = endLabels(
    frame,
    items.at(0)?.label ?? "",
    items.length > 1 ? (items.at(-1)?.label ?? "") : "",
  );
  return svg(frame, title, description, [gridOf(frame, highest, formatBytes), ...drawn, ends].join("\n"));
}

/** Two lengths to compare, one below the other. */
export function compared(title: string, items: readonly (Bar & { readonly style: "one" | "two" })[]): string {
  const frame = { ...WIDE, height: 24 + items.length * 52 };
  const highest = highestOf(
    1,
    items.map(({ value }) => value),
  );
  const content = items.map(({ label, value, style }, index) => {
    const y = 16 + index * 52;
    const width = Math.max(2, (value / highest) * (frame.width - 32));
    return `<text x="16" y="${y + 12}">${escapeHtml(`${label}: ${formatBytes(value)}`)}</text><rect class="${style}" x="16" y="${y + 20}" width="${round(width)}" height="18" rx="3"/>`;
  });
  const description = items.map(({ label, value }) => `${label}: ${formatBytes(value)}.`).join(" ");
  return svg(frame, title, description, content.join("\n"));
}

export interface Point {
  readonly label: string;
  readonly value: number;
}

/** How a number went, in steps from version to version. */
export function steps(title: string, points: readonly Point[]): string {
  const frame = SMALL;
  const highest = highestOf(
    1,
    points.map(({ value }) => value),
  );
  const base = frame.height - BOTTOM;
  const x = (index: number) =>
    place(index, 0, Math.max(1, points.length - 1), frame.left, frame.width - RIGHT);
  const y = (value: number) => base - (value / highest) * (base - TOP);
  const path = points.map(({ value }, index) =>
    index === 0 ? `M${round(x(0))} ${round(y(value))}` : `H${round(x(index))}V${round(y(value))}`,
  );
  const end = points.at(-1);
  const dot = end
    ? `<circle class="one" cx="${round(x(points.length - 1))}" cy="${round(y(end.value))}" r="4"/>`
    : "";
  const [least = 0, most = 0] = rangeOf(points.map(({ value }) => value));
  const description = `${points.length} versions, from ${formatCount(least)} to ${formatCount(most)} rows; the last has ${formatCount(end?.value ?? 0)}.`;
  const ends = endLabels(frame, points.at(0)?.label ?? "", points.length > 1 ? (end?.label ?? "") : "");
  const content = [gridOf(frame, highest, compact), `<path class="stroke" d="${path.join("")}"/>`, dot, ends];
  return svg(frame, title, description, content.join("\n"));
}

/** Snapshots oldest first: full ones stay, empty ones go. */
export function strip(
  title: string,
  items: readonly { readonly label: string; readonly stays: boolean }[],
): string {
  const frame = { ...WIDE, height: 64 };
  const step = (frame.width - 32) / Math.max(1, items.length);
  const width = Math.min(24, Math.max(3, step - 4));
  const content = items.map(({ label, stays }, index) => {
    const hint = `<title>${escapeHtml(`${label}: ${stays ? "stays" : "goes"}`)}</title>`;
    return `<rect class="${stays ? "one" : "gone"}" x="${round(16 + index * step + 1)}" y="20" width="${round(width)}" height="24" rx="3">${hint}</rect>`;
  });
  const stay = items.filter(({ stays }) => stays).length;
  return svg(
    frame,
    title,
    `Of ${items.length} snapshots ${stay} stay and ${items.length - stay} go.`,
    content.join(""),
  );
}

function gridOf({ width, height, left }: Frame, highest: number, format: (value: number) => string): string {
  const base = height - BOTTOM;
  // Whole numbers, each once, at their own heights.
  const values = [...new Set([0, Math.round(highest / 2), highest])];
  return values
    .map((value) => {
      const share = highest === 0 ? 0 : value / highest;
      const y = round(base - share * (base - TOP));
      return `<line class="axis" x1="${left}" x2="${width - RIGHT}" y1="${y}" y2="${y}"/><text x="${left - 8}" y="${y + 4}" text-anchor="end">${format(value)}</text>`;
    })
    .join("\n");
}

/** `12.3M`: there is little room beside an axis. */
function compact(value: number): string {
  return value.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 });
}

function endLabels({ width, height, left }: Frame, first: string, last: string): string {
  const y = height - 8;
  return `<text x="${left}" y="${y}">${escapeHtml(first)}</text><text x="${width - RIGHT}" y="${y}" text-anchor="end">${escapeHtml(last)}</text>`;
}

function rangeOf(values: readonly number[]): [number, number] {
  return values.reduce(
    ([least, most], value) => [Math.min(least, value), Math.max(most, value)],
    [values[0] ?? 0, values[0] ?? 0],
  );
}

/** One value alone stands in the middle. */
function place(value: number, from: number, to: number, left: number, right: number): number {
  return to === from ? (left + right) / 2 : left + ((value - from) / (to - from)) * (right - left);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
