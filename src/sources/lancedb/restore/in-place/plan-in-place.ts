import { existsSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { ValidationError } from "../../../../errors.ts";
import { advice } from "../../../../hint.ts";
import { listTables, NAMESPACE_TABLE, rootDirectory } from "../../../../lance/database.ts";
import { listManifests } from "../../../../lance/manifest.ts";
import { type PutBackTarget, planPutBack } from "../../../../lance/put-back/plan-put-back.ts";
import { inspectTable } from "../../../../lance/put-back/table-state.ts";
import type { LanceDB } from "../../../../lance/which-lancedb.ts";
import type { Snapshot } from "../../snapshot-view.ts";
import type { RestoredTable } from "../restore-options.ts";
import type { SelectedTable } from "../select.ts";

/** What a table of a snapshot finds in the database. */
export interface TableInPlace {
  readonly id: string;
  /** Where it lies, or will: a table in a namespace gets a new directory whenever it is made again. */
  readonly directory: string;
  readonly action: Exclude<RestoredTable["action"], "create">;
  /** The newest version now; 0 where there is none. */
  readonly newest: number;
  readonly passedOver: readonly number[];
}

/** @throws ValidationError where the target is no directory. */
export function assertDatabase(target: string): void {
  if (statSync(target, { throwIfNoEntry: false })?.isDirectory()) return;
  throw new ValidationError(
    advice`There is no database at ${target} to restore in place. Restore ${{ options: { mode: "new" } }} makes one.`,
  );
}

/** What restoring in place will do to each table. Reads, never writes. */
export async function planInPlace(
  lancedb: LanceDB,
  database: string,
  snapshot: Snapshot,
  tables: readonly SelectedTable[],
): Promise<{ tables: TableInPlace[]; leftAlone: string[]; toCopy: { files: { size: number }[] }[] }> {
  const live = await listTables(database);
  const known = new Set(snapshot.tables.map((table) => table.id));
  const planned: TableInPlace[] = [];
  const toCopy: { files: { size: number }[] }[] = [];
  for (const table of tables) {
    const directory = await directoryOf(lancedb, database, table, tables);
    if (table.original !== undefined) await assertNameIsFree(database, snapshot, table, live);
    planned.push(await planOne(database, snapshot, table, directory));
    toCopy.push({
      files: table.files.filter((file) => !isThere(join(database, directory, file.path), file.size)),
    });
  }
  return { tables: planned, leftAlone: live.map(({ id }) => id).filter((id) => !known.has(id)), toCopy };
}

/**
 * A restore that was cut off leaves the table back already, or a directory without a version: these do not take the name.
 *
 * @throws ValidationError where a table is to come beside the live ones under a name that one has
 */
async function assertNameIsFree(
  database: string,
  snapshot: Snapshot,
  table: SelectedTable,
  live: readonly { readonly id: string }[],
): Promise<void> {
  const { id, original, directory, digest } = table;
  const dataset = join(database, directory);
  const isAlike = live.some((other) => other.id !== id && other.id.toLowerCase() === id.toLowerCase());
  if (!isAlike && !existsSync(dataset)) return;
  if (!isAlike && statSync(dataset).isDirectory()) {
    if ((await listManifests(dataset)).length === 0) return;
    const plan = await planPutBack(putBackTarget(database, snapshot, table, directory, undefined), POLICY);
    // Where its number is not high enough yet, it was cut off before the last commit.
    if (plan.action === "keep" || plan.newestDigest === digest) return;
  }
  throw new ValidationError(`There is a table ${id} in ${database} already: give ${original} another name.`);
}

/** What put back is asked for: that the table shows the version, whatever it shows now. */
export function putBackTarget(
  database: string,
  { createdAt }: Pick<Snapshot, "createdAt">,
  table: SelectedTable,
  directory: string,
  staged: string | undefined,
): PutBackTarget {
  return {
    table: table.id,
    dataset: join(database, directory),
    version: table.version,
    digest: table.digest,
    sources: staged === undefined ? [] : [staged],
    highestKnown: table.highest,
    capturedAt: createdAt.getTime(),
  };
}

/** Later versions are hidden, and stay reachable by their numbers. */
export const POLICY = { ours: new Map(), onConflict: "overwrite", always: true } as const;

async function planOne(
  database: string,
  snapshot: Snapshot,
  table: SelectedTable,
  directory: string,
): Promise<TableInPlace> {
  const { id } = table;
  const { manifests } = await inspectTable(join(database, directory));
  const newest = manifests[0]?.version ?? 0;
  if (id === NAMESPACE_TABLE && newest > 0) return { id, directory, action: "merge", newest, passedOver: [] };
  const plan = await planPutBack(putBackTarget(database, snapshot, table, directory, undefined), POLICY);
  const action = plan.action === "conflict" ? "restore" : plan.action; // the policy knows no conflict
  return { id, directory, action, newest, passedOver: plan.foreign };
}

/** Where the table of this id lies now; where there is none, where it lay. */
async function directoryOf(
  lancedb: LanceDB,
  database: string,
  table: SelectedTable,
  all: readonly SelectedTable[],
): Promise<string> {
  const isAlone = all.filter(({ id }) => id === table.id).length === 1; // else leftovers of killed creations are there
  if (!isAlone || rootDirectory(table.id) !== undefined) return table.directory;
  const { locateTable } = await import("../../../../lance/namespaces.ts"); // loads LanceDB
  return basename((await locateTable(lancedb, database, table.id)) ?? table.directory);
}

function isThere(path: string, size: number): boolean {
  return statSync(path, { throwIfNoEntry: false })?.size === size;
}
