import { Option } from "commander";
import type { BackupManager } from "../../../guard/backup-manager.ts";
import type { BackupInfo } from "../../../guard/manager-options.ts";
import { formatAge, formatBytes, formatTime } from "../../../util/format.ts";
import type { Context } from "../../context.ts";
import { assertDatabase } from "../../database-argument.ts";
import { formatTable } from "../../output/table.ts";
import type { Terminal } from "../../output/terminal.ts";

export interface BackupDirOption {
  readonly backupDir?: string;
}

export function backupDirOption(): Option {
  return new Option(
    "--backup-dir <directory>",
    "The backupDir of the program that made them. Default: data/backups.",
  );
}

export async function openManager(
  { logger }: Context,
  database: string,
  { backupDir }: BackupDirOption,
): Promise<BackupManager> {
  assertDatabase(database);
  const { BackupManager } = await import("../../../guard/backup-manager.ts");
  return new BackupManager({ uri: database, backupDir, logger });
}

export function backupTable(terminal: Terminal, backups: readonly BackupInfo[]): string {
  return formatTable(
    terminal,
    [
      { title: "ID", value: ({ id }) => id, style: () => "cyan" },
      { title: "TIME", value: ({ createdAt }) => `${formatTime(createdAt)} (${formatAge(createdAt)})` },
      {
        title: "STATE",
        value: ({ state }) => state,
        style: ({ state }) => (state === "interrupted" ? "red" : undefined),
      },
      { title: "STRATEGY", value: ({ strategy }) => strategy },
      { title: "SIZE", value: ({ sizeBytes }) => formatBytes(sizeBytes), align: "right" },
      { title: "TABLES", value: ({ tables }) => tables.join(" "), least: 10, wrap: true },
    ],
    backups,
  );
}
