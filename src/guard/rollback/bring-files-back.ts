import { type Dirent, existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import type { ConflictingVersions } from "../../errors.ts";
import { errnoOf, isMissing, reasonOf, toIoError } from "../../fs/io.ts";
import { PIN_ORDER, Placer } from "../../fs/place.ts";
import { isStray } from "../../fs/strays.ts";
import { isInNamespace, NAMESPACE_TABLE } from "../../lance/database.ts";
import { changeNamespaces, type NamespaceEntry } from "../../lance/namespaces.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import type { Logger } from "../../logger.ts";
import { returnStubs } from "./moved-stubs.ts";
import type { RollbackPlan } from "./plan-rollback.ts";

/** What a version's manifest can name. */
const NAMED = ["data", "_deletions", "_indices"];

/**
 * The guarded work dropped a table, and somebody has written to it since by a handle from before: their commit
 * names files that went with the drop. Where it is not rolled back, these files come back, so that the table
 * opens: it holds what it held before the drop, and what they wrote. Answers with such tables. So do files that were no
 * table. Never throws.
 */
export async function bringFilesBack(
  lancedb: LanceDB,
  database: string,
  plan: RollbackPlan,
  conflicts: readonly ConflictingVersions[],
  logger: Logger,
): Promise<string[]> {
  await returnStubs(database, plan.stubs, logger);
  const returned: string[] = [];
  for (const { target } of plan.puts) {
    const { table, dataset, asideDataset } = target;
    if (!asideDataset || !existsSync(dataset) || !conflicts.some((one) => one.table === table)) continue;
    try {
      await linkMissing(asideDataset, dataset);
      if (isInNamespace(table)) await listAgain(lancedb, dirname(dataset), plan, table);
      returned.push(table);
    } catch (error) {
      const reason = reasonOf(error);
      logger.warn("files of a dropped table could not be brought back", { table, error: reason });
    }
  }
  return returned;
}

/** The drop took the table out of `__manifest`. */
async function listAgain(
  lancedb: LanceDB,
  database: string,
  { namespaces }: RollbackPlan,
  table: string,
): Promise<void> {
  const isPart = ({ object_id: id, location }: NamespaceEntry) =>
    id === table || (location === null && table.startsWith(`${id}$`));
  const wanted = namespaces.wanted.filter(isPart);
  await changeNamespaces(lancedb, join(database, NAMESPACE_TABLE), database, { wanted, gone: [] });
}

async function linkMissing(source: string, dataset: string): Promise<void> {
  const placer = new Placer(PIN_ORDER);
  for (const part of NAMED) {
    for (const file of await filesBelow(join(source, part))) {
      try {
        await placer.place(source, dataset, relative(source, file).split(sep).join("/"));
      } catch (error) {
        if (errnoOf(error) !== "EEXIST") throw error;
      }
    }
  }
  await placer.sync();
}

async function filesBelow(directory: string): Promise<string[]> {
  let found: Dirent[];
  try {
    found = await readdir(directory, { withFileTypes: true, recursive: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw toIoError(error, "list", directory);
  }
  return found
    .filter((entry) => entry.isFile() && !isStray(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}
