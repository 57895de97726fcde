import type { TableRestore } from "../../guard/rollback/roll-back-tables.ts";
import { printable } from "../../util/printable.ts";

const DONE: Record<string, string> = {
  keep: "was as wanted",
  drop: "is gone again",
  restore: "is as it was",
  relink: "is as it was, from kept files",
  rebuild: "is there again",
  merge: "lists the restored tables again, and what others have made since",
};

/** A line for each table of a backup that went back. */
export function restoredTables(tables: readonly TableRestore[]): string[] {
  return tables.map(({ table, action, version, passedOver }) => {
    const now = version === undefined ? "" : `, now version ${version}`;
    return `  ${printable(table)}: ${DONE[action] ?? action}${now}${hiddenBy(action, passedOver)}`;
  });
}

/** What a table that goes had of others is kept where guarded work had made it. */
function hiddenBy(action: TableRestore["action"], versions: readonly number[]): string {
  if (versions.length === 0) return "";
  const list = versions.join(", ");
  return action === "drop"
    ? `; with it went versions of others (kept below .lancedb-backup/aside/others if guarded work had made the table): ${list}`
    : `; passed over, and reachable by number: ${list}`;
}
