import stringWidth from "string-width";
import { highestOf } from "../../util/extremes.ts";
import { printable } from "../../util/printable.ts";
import type { Style, Terminal } from "./terminal.ts";

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  readonly align?: "left" | "right";
  readonly style?: (row: Row) => Style | undefined;
  /** How far it may be cut where the terminal is narrow. Without, it is never cut. */
  readonly least?: number;
  /** What is kept of a value that is cut. Default: its beginning. */
  readonly keep?: "end";
  /** Of the last column: it goes on in further lines in place of being cut. */
  readonly wrap?: boolean;
}

const GAP = "  ";
/** Text is not broken into lines that are shorter. */
const SHORTEST = 10;

/**
 * Rows in columns, with a line of titles. On a terminal it fits: the widest of the columns that may be cut gets
 * shorter, column by column; where that is not enough, each row is a block with a line for each column. A column that is
 * empty in every row is left out.
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
  if (totalOf(widths) > terminal.columns) {
    const block = (_row: Row, number: number) =>
      formatPairs(
        terminal,
        shown.map(({ column, cells }) => [column.title, cells[number]] as const),
      );
    return rows.map(block).join("\n\n");
  }
  const line = (cellOf: (index: number) => string, styleOf: (index: number) => Style | undefined) =>
    shown
      .map(({ column }, index) => {
        const isLast = index === shown.length - 1;
        const width = widths[index] ?? 0;
        const style = styleOf(index);
        if (isLast && column.wrap) {
          return wrap(cellOf(index), width, " ".repeat(totalOf(widths) - width));
        }
        const fitting = (column.keep === "end" ? cutLeft : cut)(cellOf(index), width);
        const padded = pad(fitting, width, column.align, isLast);
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

/** Pairs of a label and what it is, one a line; what is too long for the terminal goes on below. */
export function formatPairs(
  terminal: Terminal,
  pairs: readonly (readonly [string, string | undefined])[],
): string {
  const there = pairs.filter((pair): pair is [string, string] => pair[1] !== undefined && pair[1] !== "");
  const width = there.reduce((widest, [label]) => Math.max(widest, label.length), 0);
  const indent = " ".repeat(width + GAP.length);
  return there
    .map(([label, value]) => {
      const lines = wrap(printable(value), terminal.columns - indent.length, indent);
      return `${terminal.style("bold", label.padEnd(width))}${GAP}${lines}`;
    })
    .join("\n");
}

/** Words in lines of at most so many columns, all but the first behind an indent. What is longer by itself stays whole. */
export function wrap(text: string, columns: number, indent: string): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1) ?? ""} ${word}`;
    if (lines.length > 0 && stringWidth(longer) <= Math.max(columns, SHORTEST))
      lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.join(`\n${indent}`);
}

function totalOf(widths: readonly number[]): number {
  return widths.reduce((sum, width) => sum + width, 0) + GAP.length * (widths.length - 1);
}

function shrink(widths: number[], least: readonly (number | undefined)[], columns: number): void {
  while (totalOf(widths) > columns) {
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
