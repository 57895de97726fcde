import { existsSync } from "node:fs";
import type { RecoveryReport } from "../guard/backup-manager.ts";
import { schemeOf } from "../storage/open-storage.ts";
import { printable } from "../util/printable.ts";
import type { Context } from "./context.ts";
import { pathOf } from "./database-argument.ts";

/**
 * Rolls back what dead processes left half-done in LanceDB databases, before they are backed up. Damaged newest versions stay where
 * they are: that is a question, which `recover` asks.
 */
export async function recoverFirst(
  { logger, screen }: Context,
  databases: readonly string[],
): Promise<RecoveryReport["entries"]> {
  const recovered: RecoveryReport["entries"][number][] = [];
  const { sourceFromUrl } = await import("../repository/index.ts");
  const { BackupManager } = await import("../guard/backup-manager.ts");
  for (const database of databases) {
    const isPath = /^file:/i.test(database) || schemeOf(database) === undefined;
    if (!isPath || !existsSync(pathOf(database))) continue; // which the backup says
    if (sourceFromUrl(pathOf(database)).type !== "lancedb") continue;
    await using manager = new BackupManager({ uri: pathOf(database), logger });
    const { entries } = await manager.recover({ heal: false });
    for (const { id, action, tables } of entries) {
      const which = tables.map(({ table }) => printable(table)).join(", ");
      screen.line(`${id} of ${printable(database)}: ${action}${which === "" ? "" : ` (${which})`}`);
    }
    recovered.push(...entries);
  }
  return recovered;
}
