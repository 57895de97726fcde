import { join } from "node:path";
import { RestoreError } from "../../../../errors.ts";
import { reasonOf } from "../../../../fs/io.ts";
import { dropBrokenIndices } from "../../../../lance/broken-indices.ts";
import { TAGS } from "../../../../lance/capture.ts";
import { NAMESPACE_TABLE } from "../../../../lance/database.ts";
import { dropMissingTables } from "../../../../lance/namespaces.ts";
import {
  makeStagingDirectory,
  removeDeadStaging,
  removeStagingDirectory,
} from "../../../../lance/private-directory.ts";
import { planPutBack } from "../../../../lance/put-back/plan-put-back.ts";
import { putBack } from "../../../../lance/put-back/put-back.ts";
import type { LanceDB } from "../../../../lance/which-lancedb.ts";
import type { Snapshot } from "../../snapshot-view.ts";
import type { InPlacePlan } from "../plan-restore.ts";
import type { LeftOut, RestoreContext, RestoredTable, RestoreOptions } from "../restore-options.ts";
import { type RestoreReport, reportOf } from "../restore-report.ts";
import { danglingEntry, type SelectedTable } from "../select.ts";
import { healFiles, meaningsOfTags, placeMissing, placeOwnFiles, putTags } from "./beside-versions.ts";
import { lockTables } from "./lock-tables.ts";
import { mergeNamespaces } from "./merge-namespaces.ts";
import { POLICY, planInPlace, putBackTarget } from "./plan-in-place.ts";
import { type Staged, stage } from "./stage.ts";

/**
 * Puts the tables of a snapshot back, each as a new commit. First every file is gathered and verified inside the
 * database; up to then, and after an abort, nothing has changed. Then one table after the other goes back. Where the
 * process dies between, some have and some have not: do it again, those that have are recognised and stay.
 */
export async function restoreInPlace(
  { blobs, lancedb, logger }: RestoreContext,
  plan: InPlacePlan,
  snapshot: Snapshot,
  options: RestoreOptions,
  started: number,
): Promise<RestoreReport> {
  const database = plan.target;
  const ids = plan.tables.map((table) => table.id);
  using _locks = await lockTables(database, ids, options, logger);
  await removeDeadStaging(database);
  const staging = makeStagingDirectory(database, "snapshot");
  try {
    const { tables: found, leftAlone } = await planInPlace(lancedb, database, snapshot, plan.tables);
    const tables = plan.tables.map((selected, index): Place => {
      const directory = found[index]?.directory ?? selected.directory;
      return { selected, directory, live: join(database, directory) };
    });
    tables.sort((a, b) => Number(isNamespaces(a)) - Number(isNamespaces(b))); // they name what has come back
    const staged = await stage(blobs, tables, staging, options);
    options.signal?.throwIfAborted();
    const work = new InPlaceWork(lancedb, database, snapshot, staging, tables);
    const done: RestoredTable[] = [];
    const leftOut: LeftOut[] = [...plan.leftOut];
    try {
      for (const [index, place] of tables.entries()) {
        const parts = await work.putBack(place, staged[index] as Staged);
        done.push(parts.table);
        leftOut.push(...parts.leftOut);
      }
    } catch (error) {
      throw done.some(({ action }) => action !== "keep")
        ? inPart(error, plan, done, blobs.storage.location)
        : error;
    }
    const report = { ...reportOf(plan, started), dryRun: false, tables: done, leftOut, leftAlone };
    logger.debug("tables put back from a snapshot", {
      snapshot: plan.snapshot,
      tables: done.map(({ id, action, version, passedOver }) => ({ id, action, version, passedOver })),
    });
    return report;
  } finally {
    removeStagingDirectory(staging);
  }
}

interface Place {
  readonly selected: SelectedTable;
  /** The live table's. */
  readonly directory: string;
  readonly live: string;
}

function isNamespaces({ selected }: Place): boolean {
  return selected.id === NAMESPACE_TABLE;
}

class InPlaceWork {
  readonly #lancedb: LanceDB;
  readonly #database: string;
  readonly #snapshot: Snapshot;
  readonly #staging: string;
  readonly #all: readonly Place[];

  constructor(
    lancedb: LanceDB,
    database: string,
    snapshot: Snapshot,
    staging: string,
    all: readonly Place[],
  ) {
    this.#lancedb = lancedb;
    this.#database = database;
    this.#snapshot = snapshot;
    this.#staging = staging;
    this.#all = all;
  }

  async putBack(place: Place, staged: Staged): Promise<{ table: RestoredTable; leftOut: LeftOut[] }> {
    const { selected, directory, live } = place;
    const { dataset, damaged } = staged;
    const plan = await planPutBack(
      putBackTarget(this.#database, this.#snapshot, selected, directory, dataset),
      POLICY,
    );
    if (isNamespaces(place) && plan.newest > 0) return this.#merge(place, dataset);
    await healFiles(live, dataset, damaged);
    await placeMissing(live, dataset, selected.files);
    const meant = meaningsOfTags(live);
    const outcome = await putBack(this.#lancedb, this.#database, plan);
    if (!("passedOver" in outcome)) throw new TypeError("A put back that overwrites ended in a conflict.");
    await placeOwnFiles(live, dataset, selected.files);
    const tags = await putTags(live, dataset, selected.files);
    const leftOut = tags.map((tag) => ({
      table: selected.id,
      what: `tag ${tag}: its version is not in the database`,
    }));
    leftOut.push(...changedTags(selected, meant, meaningsOfTags(live)));
    if (isNamespaces(place)) leftOut.push(...(await this.#dropDangling()));
    if (!selected.lacksIndices || outcome.action === "keep")
      return { table: restored(place, outcome), leftOut };
    const { version } = await dropBrokenIndices(this.#lancedb, this.#database, live);
    return { table: restored(place, { ...outcome, version }), leftOut };
  }

  async #merge(place: Place, staged: string) {
    const directories = new Map(this.#all.map(({ selected, directory }) => [selected.id, directory]));
    const version = await mergeNamespaces({
      lancedb: this.#lancedb,
      database: this.#database,
      staged,
      scratch: this.#staging,
      directories,
      isPart: this.#all.length < this.#snapshot.tables.length,
    });
    return { table: restored(place, { action: "merge", version, passedOver: [] }), leftOut: [] };
  }

  async #dropDangling(): Promise<LeftOut[]> {
    const dropped = await dropMissingTables(this.#lancedb, this.#database, this.#staging);
    return dropped.map(danglingEntry);
  }
}

/** Where a table had been made anew, versions that came back may have taken the numbers that its tags name. */
function changedTags(
  { id, files }: SelectedTable,
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): LeftOut[] {
  const put = new Set(files.map(({ path }) => path));
  return [...before]
    .filter(([tag, meant]) => !put.has(`${TAGS}/${tag}.json`) && meant !== "" && after.get(tag) !== meant)
    .map(([tag]) => ({
      table: id,
      what: `tag ${tag}, which is not of the snapshot: its number is another version's now; the manifest that it named is kept in .lancedb-backup/aside`,
    }));
}

function restored(
  { selected, directory }: Place,
  outcome: Pick<RestoredTable, "action" | "version" | "passedOver">,
): RestoredTable {
  const { id, original, version: restoredVersion, rows, files, bytes } = selected;
  const { action, version, passedOver } = outcome;
  const named = original === undefined ? { id } : { id, original };
  return {
    ...named,
    directory,
    restoredVersion,
    rows,
    files: files.length,
    bytes,
    action,
    version,
    passedOver,
  };
}

function inPart(
  error: unknown,
  plan: InPlacePlan,
  done: readonly RestoredTable[],
  backupPath: string,
): RestoreError {
  const names = (list: readonly { id: string }[]) => list.map(({ id }) => id).join(", ");
  const back = new Set(done.map(({ directory }) => directory));
  const rest = plan.inPlace.filter(({ directory }) => !back.has(directory));
  const reason = reasonOf(error);
  return new RestoreError(
    `Snapshot ${plan.snapshot} is restored in part: ${names(done)} went back, ${names(rest)} did not. ${reason} Restore it again to complete it; what has gone back stays as it is.`,
    { restoreError: error, backupPath },
  );
}
