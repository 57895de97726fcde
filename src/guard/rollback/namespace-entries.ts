import { existsSync } from "node:fs";
import { join } from "node:path";
import { BackupError, LanceError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import { isInNamespace, NAMESPACE_TABLE, parseTableId } from "../../lance/database.ts";
import { assertNamespaces } from "../../lance/lacking.ts";
import { listManifests } from "../../lance/manifest.ts";
import {
  changeNamespaces,
  listNamespaces,
  type NamespaceChange,
  type NamespaceEntry,
} from "../../lance/namespaces.ts";
import { isDataset } from "../../lance/table-directory.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import type { CapturedTable, EntryRecord } from "../journal/entry-record.ts";
import type { LoggedIntent } from "../journal/intent-log.ts";
import { currentOf, type Incarnation, namespacesOf, type TableHistory } from "./work-history.ts";

// `__manifest` is everybody's: whoever makes a table in any namespace commits to it. So it does not go back to a
// version, which would hide what others have made since. Single entries of it do.

/** What a rollback does to `__manifest`; no other entry is touched. */
export interface NamespacePlan extends NamespaceChange {
  /** The backup holds the list itself, and says what became of it. */
  readonly isCaptured: boolean;
}

/** What `__manifest` says while a rollback is planned. */
export class LiveNamespaces {
  /** False where there is no list, or none that can be read: it comes back whole. */
  readonly isThere: boolean;
  readonly #database: string;
  readonly #entries: ReadonlyMap<string, NamespaceEntry>;

  private constructor(database: string, entries: readonly NamespaceEntry[] | undefined) {
    this.#database = database;
    this.isThere = entries !== undefined;
    this.#entries = new Map(entries?.map((entry) => [entry.object_id, entry]));
  }

  /** @throws LanceError, CorruptError where the list cannot be read, and the backup has none. */
  static async read(
    lancedb: LanceDB,
    database: string,
    record: EntryRecord,
    always = false,
  ): Promise<LiveNamespaces> {
    const { tables, namespaces = [] } = record;
    const isAskedFor = always || tables.some(({ id }) => isInNamespace(id)) || namespaces.length > 0;
    const hasOne = tables.some(({ id, state }) => id === NAMESPACE_TABLE && state === "present");
    if (!isAskedFor && !hasOne) return new LiveNamespaces(database, []);
    const isThere = (await listManifests(join(database, NAMESPACE_TABLE))).length > 0;
    if (!isThere) return new LiveNamespaces(database, undefined);
    try {
      return new LiveNamespaces(database, await listNamespaces(lancedb, database));
    } catch (error) {
      if (!hasOne || !(error instanceof BackupError)) throw error;
      return new LiveNamespaces(database, undefined);
    }
  }

  /** The namespaces themselves, without the tables in them. */
  get namespaces(): NamespaceEntry[] {
    return [...this.#entries.values()].filter(({ location }) => location === null);
  }

  entry(id: string): NamespaceEntry | undefined {
    return this.#entries.get(id);
  }

  /** The directory in which LanceDB looks for a table in a namespace now. */
  directoryOf(id: string): string | undefined {
    return isInNamespace(id) ? (this.entry(id)?.location ?? undefined) : undefined;
  }

  /**
   * Where a captured table is put back: where it lay, unless others have made another one under its name since. Then
   * that one counts as the table, as with root tables, and nothing of it is lost.
   */
  placeOf(table: CapturedTable & { state: "present" }, current: Incarnation): string {
    const listed = this.directoryOf(table.id);
    return listed === undefined || this.isOurs(current, listed) ? table.directory : listed;
  }

  /** Whether the guarded work made this directory for the table. */
  isOurs({ directory, creating, notCreated }: Incarnation, name: string): boolean {
    if (directory === name || (creating && !creating.includes(name))) return true;
    // LanceDB lists what a failed creation left. With a version in it, it is somebody else's table.
    return notCreated?.includes(name) === false && !isDataset(join(this.#database, name));
  }

  /**
   * Where a table lies that has to go: one that the work made, or that others have made in its place since, or that a
   * backup did not have. The directory may be gone already.
   */
  madeEntry(table: CapturedTable, history: TableHistory | undefined, explicit: boolean): string | undefined {
    const listed = this.directoryOf(table.id);
    if (listed === undefined || (table.state === "present" && table.directory === listed)) return undefined;
    const isMade = history?.incarnations.some((incarnation) => this.isOurs(incarnation, listed));
    if (isMade || table.state === "present") return isMade ? listed : undefined;
    return explicit || currentOf(history).directory !== undefined ? listed : undefined;
  }
}

export interface NamespaceRequest {
  readonly record: EntryRecord;
  readonly log: readonly LoggedIntent[];
  readonly live: LiveNamespaces;
  /** Where each captured table is, or will be. */
  readonly places: ReadonlyMap<string, string>;
  /** The tables that go. */
  readonly gone: readonly { readonly table: string; readonly directory: string }[];
  /** Namespaces that go where they were not captured, whoever made them. */
  readonly made: readonly NamespaceEntry[];
}

export function planNamespaces(request: NamespaceRequest): NamespacePlan {
  const { record, log, live, places, gone } = request;
  const tables = record.tables.flatMap((table) => {
    const entry = table.state === "present" ? table.entry : undefined;
    return entry ? [{ ...entry, location: places.get(table.id) ?? entry.location }] : [];
  });
  const touched = namespacesOf(log);
  const namespaces = record.namespaces ?? [];
  const made = namespaces.filter(({ id, entry }) => entry === null && touched.has(id));
  const kept = new Set(namespaces.flatMap(({ entry }) => entry?.object_id ?? []));
  const others = request.made.filter(({ object_id: id }) => !kept.has(id));
  return {
    wanted: [...namespaces.flatMap(({ entry }) => entry ?? []), ...tables],
    gone: [
      ...gone.map(({ table, directory }) => ({ object_id: table, location: directory })),
      ...made.map(({ id }) => live.entry(id) ?? { object_id: id, location: null }),
      ...others,
    ],
    isCaptured: record.tables.some(({ id, state }) => id === NAMESPACE_TABLE && state === "present"),
  };
}

/** Tables that are listed and have no directory at all, as a list has them that comes back from a part of a backup. */
function withoutDirectory(database: string, entries: readonly NamespaceEntry[]): NamespaceEntry[] {
  return entries.filter(({ location }) => location !== null && !existsSync(join(database, location)));
}

/** What became of `__manifest`, where it was captured and is not rebuilt. */
interface ListRestore {
  readonly table: string;
  readonly action: "merge" | "keep";
  readonly version: number | undefined;
  readonly passedOver: readonly number[];
}

/** Where a list has to be made to begin with. */
const FIRST = "lancedb_backup";

/**
 * Has `__manifest` say what it said of the tables and namespaces that are back, and nothing of those that are gone,
 * and looks whether LanceDB finds them. Can be done twice.
 *
 * @param isRebuilt the list was gone, and has come back whole, perhaps with tables that have not.
 * @throws LanceError where a table that is back is not found.
 */
export async function putNamespacesBack(
  lancedb: LanceDB,
  database: string,
  plan: NamespacePlan,
  isRebuilt: boolean,
): Promise<ListRestore[]> {
  const dataset = join(database, NAMESPACE_TABLE);
  const isThere = (await listManifests(dataset)).length > 0;
  if (!isThere && plan.wanted.length === 0) return [];
  const gone = [...plan.gone];
  if (!isThere) {
    const connection = await lancedb.connect(database);
    assertNamespaces(connection, [FIRST]);
    await connection.createNamespace([FIRST]).finally(() => connection.close());
    gone.push({ object_id: FIRST, location: null });
  }
  if (isRebuilt) gone.push(...withoutDirectory(database, await listNamespaces(lancedb, database)));
  const { added, removed } = await changeNamespaces(lancedb, dataset, database, {
    wanted: plan.wanted,
    gone,
  });
  await assertFound(lancedb, database, plan, new Set(added));
  if (!plan.isCaptured || isRebuilt) return [];
  const version = (await listManifests(dataset))[0]?.version;
  const action = added.length + removed.length > 0 ? "merge" : "keep";
  return [{ table: NAMESPACE_TABLE, action, version, passedOver: [] }];
}

/** Every table is listed where it lies, and those that were not before open. */
async function assertFound(
  lancedb: LanceDB,
  database: string,
  { wanted }: NamespacePlan,
  added: ReadonlySet<string>,
): Promise<void> {
  const tables = wanted.filter(({ location }) => location !== null);
  if (tables.length === 0) return;
  const listed = new Map(
    (await listNamespaces(lancedb, database)).map((entry) => [entry.object_id, entry.location]),
  );
  const lost = tables.find(({ object_id: id, location }) => listed.get(id) !== location);
  if (lost) throw notFound(lost.object_id, `it is listed at ${listed.get(lost.object_id)}`);
  const connection = await lancedb.connect(database);
  try {
    for (const { object_id: id } of tables.filter((entry) => added.has(entry.object_id))) {
      const { name, namespacePath } = parseTableId(id);
      try {
        (await connection.openTable(name, namespacePath)).close();
      } catch (error) {
        throw notFound(id, reasonOf(error), error);
      }
    }
  } finally {
    connection.close();
  }
}

function notFound(id: string, reason: string, cause?: unknown): LanceError {
  return new LanceError(`Table ${id} is back, and LanceDB does not find it: ${reason}`, { cause });
}
