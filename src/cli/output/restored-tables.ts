import type { TableRestore } from "../../guard/rollback/roll-back-tables.ts";
import { printable } from "../../util/printable.ts";

const DONE: Record<string, string> = {
  keep: "was as wanted",
  drop: "is gone again",
  restore: "is as it was",
  relink: "is as it was, from kept files",
  rebuild: "is there again",
  merge: "names again what is back, and still what others have made since",
};

/** A line for each table of a backup that went back. */
export function restoredTables(tables: readonly TableRestore[]): string[] {
  return tables.map(({ table, action, version, passedOver }) => {
    const now = version === undefined ? "" : `, now version ${version}`;
    const hidden =
      passedOver.length === 0 ? "" : `; passed over, and reachable by number: ${passedOver.join(", ")}`;
    return `  ${printable(table)}: ${DONE[action] ?? action}${now}${hidden}`;
  });
}
