import stringWidth from "string-width";
import { highestOf } from "../../util/extremes.ts";
import { printable } from "../../util/printable.ts";
import type { Style, Terminal } from "./terminal.ts";

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  readonly align?: "left" | "right";
  readonly style?: (row: Row) => Style | undefined;
  /** How far it may be cut, before others are, where the terminal is narrow. */
  readonly least?: number;
}

const GAP = "  ";
/** What a column of text keeps where even the columns that may be cut have no more to give. */
const LEAST = 6;

/**
 * Rows in columns, with a line of titles. On a terminal it fits: the widest of the columns that may be cut gets
 * shorter, column by column. A column that is empty in every row is left out.
 */
export function formatTable<Row>(
  terminal: Terminal,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
): string {
  const cells = columns.map((column) => rows.map((row) => printable(column.value(row))));
  const shown = columns
    .map((column, index) => ({ column, cells: cells[index] ?? [] }))
    .filter(({ cells }) => cells.some((cell) => cell !== ""));
  const widths = shown.map(({ column, cells }) =>
    cells.reduce((widest, cell) => Math.max(widest, stringWidth(cell)), stringWidth(column.title)),
  );
  shrink(
    widths,
    shown.map(({ column }) => column.least),
    terminal.columns,
  );
  // Where that is not enough: text, but no number.
  shrink(
    widths,
    shown.map(({ column }) => (column.align === "right" ? undefined : LEAST)),
    terminal.columns,
  );
  const line = (cellOf: (index: number) => string, styleOf: (index: number) => Style | undefined) =>
    shown
      .map(({ column }, index) => {
        const isLast = index === shown.length - 1;
        const padded = pad(cut(cellOf(index), widths[index] ?? 0), widths[index] ?? 0, column.align, isLast);
        const style = styleOf(index);
        return style === undefined ? padded : terminal.style(style, padded);
      })
      .join(GAP)
      .trimEnd();
  const lines = rows.map((row, number) =>
    line(
      (index) => shown[index]?.cells[number] ?? "",
      (index) => shown[index]?.column.style?.(row),
    ),
  );
  const titles = line(
    (index) => shown[index]?.column.title ?? "",
    () => "bold",
  );
  return [titles, ...lines].join("\n");
}

/** How wide a table is where nothing of it is cut. */
export function tableWidth<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): number {
  const widths = columns.flatMap(({ title, value }) => {
    const cells = rows.map((row) => stringWidth(printable(value(row))));
    const widest = highestOf(0, cells);
    return widest === 0 ? [] : [Math.max(widest, stringWidth(title))];
  });
  return widths.reduce((sum, width) => sum + width, 0) + GAP.length * Math.max(0, widths.length - 1);
}

/** Pairs of a label and what it is, one a line. */
export function formatPairs(
  terminal: Terminal,
  pairs: readonly (readonly [string, string | undefined])[],
): string {
  const there = pairs.filter((pair): pair is [string, string] => pair[1] !== undefined && pair[1] !== "");
  const width = there.reduce((widest, [label]) => Math.max(widest, label.length), 0);
  return there
    .map(([label, value]) => `${terminal.style("bold", label.padEnd(width))}${GAP}${printable(value)}`)
    .join("\n");
}

function shrink(widths: number[], least: readonly (number | undefined)[], columns: number): void {
  const total = () => widths.reduce((sum, width) => sum + width, 0) + GAP.length * (widths.length - 1);
  while (total() > columns) {
    let widest = -1;
    for (const [index, width] of widths.entries()) {
      if (width > (least[index] ?? width) && width > (widths[widest] ?? 0)) widest = index;
    }
    if (widest < 0) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}

const segmenter = new Intl.Segmenter();

/** At most so many columns; what is cut ends with `…`. */
export function cut(text: string, columns: number): string {
  if (stringWidth(text) <= columns) return text;
  let result = "";
  let width = 0;
  for (const { segment } of segmenter.segment(text)) {
    width += stringWidth(segment);
    if (width > columns - 1) break;
    result += segment;
  }
  return `${result}…`;
}

/** The end of a text, of at most so many columns; what is cut begins with `…`. */
export function cutLeft(text: string, columns: number): string {
  const segments = [...segmenter.segment(text)].map(({ segment }) => segment);
  while (segments.length > 0 && stringWidth(segments.join("")) > columns - 1) segments.shift();
  return stringWidth(text) <= columns ? text : `…${segments.join("")}`;
}

function pad(text: string, columns: number, align: "left" | "right" = "left", isLast: boolean): string {
  const space = " ".repeat(Math.max(0, columns - stringWidth(text)));
  if (align === "right") return space + text;
  return isLast ? text : text + space;
}
