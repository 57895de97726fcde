import { existsSync } from "node:fs";
import type { RestoreReport } from "../repository/index.ts";
import { printable } from "../util/printable.ts";
import { pathOf } from "./database-argument.ts";
import { UsageError } from "./usage-error.ts";

export interface OtherSourceOptions {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly otherSource?: boolean;
}

/**
 * What has to be said where a snapshot is about to go into a database that it was not taken from; empty where it was.
 *
 * @throws UsageError where `--yes` alone would have it done: `latest` is the newest snapshot of any database.
 */
export async function otherSource(
  { snapshot: id, source }: Pick<RestoreReport, "snapshot" | "source">,
  database: string,
  { yes, dryRun, otherSource }: OtherSourceOptions,
): Promise<string> {
  if (!existsSync(pathOf(database))) return ""; // which the restore says
  const { sourceFromUrl } = await import("../repository/index.ts");
  if (source.id === sourceFromUrl(pathOf(database)).id) return "";
  const told = `Snapshot ${id} was taken from another database: ${printable(source.uri)} on ${printable(source.host)} (id ${printable(source.id)}).`;
  if (yes && !dryRun && !otherSource) {
    throw new UsageError(`${told} To restore it into ${database} anyway, add --other-source.`);
  }
  return told;
}
