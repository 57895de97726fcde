import type { RestoredTable, RestoreReport } from "../../repository/index.ts";
import { counted, formatBytes, formatCount } from "../../util/format.ts";
import { printable } from "../../util/printable.ts";
import { formatTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

const WORDS: Record<RestoredTable["action"], string> = {
  create: "made",
  keep: "needs no change",
  restore: "goes back",
  relink: "goes back, files from the repository",
  rebuild: "made again",
  merge: "namespaces that are missing are added",
};

/** What a restore does to each table, what stays as it is, and what is not restored. */
export function restorePlan(terminal: Terminal, report: RestoreReport): string {
  const { snapshot, source, target, tables, leftOut, leftAlone, mode, files, bytes } = report;
  const what =
    source.type === "lancedb"
      ? tablesIn(terminal, tables)
      : `${counted(files, "file")}, ${formatBytes(bytes)}`;
  const parts = [
    `Snapshot ${snapshot} of ${printable(source.uri)} to ${printable(target)}${mode === "in-place" ? ", in place" : ""}:`,
    what,
  ];
  if (leftAlone.length > 0) parts.push(`Left as they are: ${printable(leftAlone.join(", "))}.`);
  for (const { table, what } of leftOut) parts.push(`Not restored: ${printable(`${table}: ${what}`)}`);
  return parts.join("\n");
}

function tablesIn(terminal: Terminal, tables: readonly RestoredTable[]): string {
  return formatTable(
    terminal,
    [
      {
        title: "TABLE",
        value: ({ id, original }) => (original === undefined ? id : `${original} as ${id}`),
        least: 12,
        style: () => "cyan",
      },
      { title: "VERSION", value: ({ restoredVersion }) => String(restoredVersion), align: "right" },
      { title: "ROWS", value: ({ rows }) => formatCount(rows), align: "right" },
      { title: "SIZE", value: ({ bytes }) => formatBytes(bytes), align: "right" },
      { title: "ACTION", value: ({ action }) => WORDS[action], least: 9 },
      { title: "PASSED OVER", value: ({ passedOver }) => passedOver.join(", "), least: 6 },
    ],
    tables,
  );
}
