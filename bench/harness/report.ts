import type { Sizes } from "../data/sizes.ts";
import { type Figure, isMet } from "./figure.ts";

/** Prints the figures. */
export function report(figures: readonly Figure[], sizes: Sizes): void {
  const isQuick = sizes.name === "quick";
  const rows = figures.map((figure) => [
    figure.what,
    show(figure.value, figure.unit),
    spreadOf(figure),
    targetOf(figure),
    isQuick ? "" : verdictOf(figure),
  ]);
  console.log(`\n${align([["", "median", "spread", "target", ""], ...rows])}\n`);
  const judged = figures.filter((figure) => figure.target);
  const met = judged.filter((figure) => isMet(figure));
  console.log(isQuick ? QUICK_NOTE : `${met.length} of ${judged.length} targets met`);
}

const QUICK_NOTE = "small data: this run shows that the bench works, and says nothing about the targets";

function show(value: number, unit: Figure["unit"]): string {
  if (unit === "requests") return `${value} ${unit}`;
  const digits = unit === "×" && value < 10 ? 2 : value < 100 ? 1 : 0;
  return `${value.toFixed(digits)} ${unit}`;
}

/** The shortest and the longest run of each contender. */
function spreadOf({ samples, unit, madeOf }: Figure): string {
  if (madeOf !== undefined) return madeOf;
  const each = samples.map(({ min, median, max }) =>
    unit === "×"
      ? `${median.toFixed(1)} (${min.toFixed(1)} to ${max.toFixed(1)})`
      : `${min.toFixed(1)} to ${max.toFixed(1)}`,
  );
  return each.join(" / ");
}

function targetOf({ target, unit }: Figure): string {
  if (!target) return "";
  return `${target.kind === "most" ? "≤" : "≥"} ${target.limit} ${unit}`;
}

function verdictOf(figure: Figure): string {
  const met = isMet(figure);
  return met === undefined ? "" : met ? "met" : "NOT MET";
}

function align(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd();
  return rows.map(line).join("\n");
}
