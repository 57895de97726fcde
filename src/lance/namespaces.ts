import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Table } from "@lancedb/lancedb";
import { LanceError } from "../errors.ts";
import { reasonOf } from "../fs/io.ts";
import { takeOwnerBelow } from "../fs/take-owner.ts";
import { NAMESPACE_TABLE, namespacedDirectories, rootDirectory } from "./database.ts";
import { Door } from "./door.ts";
import { healDamagedHead } from "./heal-head.ts";
import { listManifests } from "./manifest.ts";
import { digestOfVersion } from "./put-back/table-state.ts";
import { syncNewest } from "./sync-versions.ts";
import { isDataset } from "./table-directory.ts";
import type { LanceDB } from "./which-lancedb.ts";

/** What the list of namespaces says of a table or namespace. */
export interface NamespaceEntry {
  readonly object_id: string;
  readonly object_type: string;
  /** A table's directory inside the database. */
  readonly location: string | null;
  readonly metadata: string | null;
  readonly base_objects: string[] | null;
}

/** What is to become of a list of namespaces. Whatever is not named here stays as it is. */
export interface NamespaceChange {
  /** To be there. One whose id is there already stays as it is. */
  readonly wanted: readonly NamespaceEntry[];
  /** To go: a table where it has this location still, a namespace (`null`) where nothing else lies in it. */
  readonly gone: readonly Pick<NamespaceEntry, "object_id" | "location">[];
}

/** How often others may commit to the list in the way of a change of ours. */
const MOST_ATTEMPTS = 20;
const PAUSE_MS = 10;

/**
 * Takes the tables out of a database's list of namespaces that have no directory in it: LanceDB would list them, and
 * could not open them. A new commit, on the disk when it returns.
 *
 * @param scratch a directory for what is needed meanwhile.
 * @returns their ids.
 */
export async function dropMissingTables(
  lancedb: LanceDB,
  database: string,
  scratch: string,
): Promise<string[]> {
  const dataset = join(database, NAMESPACE_TABLE);
  const entries = await readNamespaces(lancedb, dataset, scratch);
  const gone = entries.filter(({ location }) => location !== null && !isDataset(join(database, location)));
  await changeNamespaces(lancedb, dataset, scratch, { wanted: [], gone });
  return gone.map((entry) => entry.object_id);
}

/** All entries of a list of namespaces that lies anywhere. */
export async function readNamespaces(
  lancedb: LanceDB,
  dataset: string,
  scratch: string,
): Promise<NamespaceEntry[]> {
  return withDoor(lancedb, dataset, scratch, ({ table }) => entriesOf(table), "look");
}

/**
 * Changes single entries of a list of namespaces, each by a commit of LanceDB's own, so that what others commit
 * meanwhile stays. On the disk when it returns. Can be done twice.
 *
 * @returns the ids whose entries were added and removed.
 */
export async function changeNamespaces(
  lancedb: LanceDB,
  dataset: string,
  scratch: string,
  change: NamespaceChange,
): Promise<{ added: string[]; removed: string[] }> {
  const [added, removed] = [new Set<string>(), new Set<string>()];
  if (change.wanted.length + change.gone.length === 0) return { added: [], removed: [] };
  for (let attempt = 1; ; attempt++) {
    try {
      await withDoor(lancedb, dataset, scratch, async ({ table }) => {
        for (const entry of await removeEntries(table, change)) removed.add(entry.object_id);
        for (const id of await addEntries(table, [...change.wanted, ...(await orphaned(table, change))])) {
          if (!removed.delete(id)) added.add(id);
        }
      });
      break;
    } catch (error) {
      if (attempt === MOST_ATTEMPTS) throw error;
      await sleep(PAUSE_MS * attempt * Math.random()); // others may have committed at the same moment
    }
  }
  if (added.size + removed.size > 0) await syncNewest(dataset);
  return { added: [...added], removed: [...removed] };
}

async function removeEntries(table: Table, { wanted, gone }: NamespaceChange): Promise<NamespaceEntry[]> {
  if (gone.length === 0) return [];
  const entries = await entriesOf(table);
  const kept = new Set(wanted.filter(({ location }) => location === null).map((entry) => entry.object_id));
  const going = entries.filter(
    ({ object_id: id, location }) =>
      gone.some((entry) => entry.object_id === id && entry.location === location) &&
      !(location === null && kept.has(id)),
  );
  // The innermost first: a namespace in which others have made something by now stays, and those around it.
  going.sort((a, b) => b.object_id.length - a.object_id.length);
  const removed: NamespaceEntry[] = [];
  for (const entry of going) {
    const rest = entries.filter((other) => !removed.includes(other));
    const isInUse = rest.some((other) => other.object_id.startsWith(`${entry.object_id}$`));
    if (entry.location !== null || !isInUse) removed.push(entry);
  }
  if (removed.length > 0) await table.delete(removed.map(predicateOf).join(" OR "));
  return removed;
}

/** Namespaces that went while somebody made something in them. */
async function orphaned(table: Table, { gone }: NamespaceChange): Promise<NamespaceEntry[]> {
  const namespaces = gone.filter((entry) => entry.location === null);
  if (namespaces.length === 0) return [];
  const entries = await entriesOf(table);
  return namespaces
    .filter(({ object_id: id }) => entries.some((entry) => entry.object_id.startsWith(`${id}$`)))
    .map(({ object_id }) => ({
      ...namespaceEntry(object_id),
      ...gone.find((e) => e.object_id === object_id),
    }));
}

async function addEntries(table: Table, wanted: readonly NamespaceEntry[]): Promise<string[]> {
  if (wanted.length === 0) return [];
  const there = new Set((await entriesOf(table)).map((entry) => entry.object_id));
  const missing = wanted.filter((entry) => !there.has(entry.object_id));
  if (missing.length === 0) return [];
  const rows = missing.map((entry) => ({ ...entry }));
  await table.mergeInsert("object_id").whenNotMatchedInsertAll().execute(rows);
  return missing.map((entry) => entry.object_id);
}

function namespaceEntry(object_id: string): NamespaceEntry {
  return { object_id, object_type: "namespace", location: null, metadata: null, base_objects: null };
}

function predicateOf({ object_id, location }: NamespaceEntry): string {
  const where = location === null ? "location IS NULL" : `location = ${quoted(location)}`;
  return `(object_id = ${quoted(object_id)} AND ${where})`;
}

async function withDoor<T>(
  lancedb: LanceDB,
  dataset: string,
  scratch: string,
  task: (door: Door) => Promise<T>,
  kind: "door" | "look" = "door",
): Promise<T> {
  try {
    using door = await Door.open(lancedb, scratch, dataset, kind);
    const result = await task(door);
    if (kind === "door") takeOwnerBelow(dataset);
    return result;
  } catch (error) {
    const reason = reasonOf(error);
    throw new LanceError(`LanceDB could not read or change the namespaces in ${dataset}: ${reason}`, {
      cause: error,
    });
  }
}

async function entriesOf(table: Table): Promise<NamespaceEntry[]> {
  const rows = await table.query().toArray();
  return rows.map((row) => {
    const { object_id, object_type, location, metadata, base_objects } = row;
    return { object_id, object_type, location, metadata, base_objects: base_objects && [...base_objects] };
  });
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

interface Known {
  readonly head: string;
  readonly entries: readonly NamespaceEntry[];
}

/** What was read last of each database, since every write in a namespace asks. */
const known = new Map<string, Known>();

/**
 * What a database's own list says now. A newest manifest of it that is damaged is moved aside first, as with any
 * table. Empty where there is no list.
 */
export async function listNamespaces(lancedb: LanceDB, database: string): Promise<readonly NamespaceEntry[]> {
  const dataset = join(database, NAMESPACE_TABLE);
  const newest = (await listManifests(dataset))[0];
  if (!newest) return [];
  const head = `${newest.version} ${digestOfVersion(dataset, newest.version)}`;
  const last = known.get(database);
  if (last?.head === head) return last.entries;
  const entries = await readNamespaces(lancedb, dataset, database).catch(async (error: unknown) => {
    if (!(await healDamagedHead(lancedb, database, dataset))) throw error;
    return readNamespaces(lancedb, dataset, database);
  });
  known.set(database, { head, entries });
  return entries;
}

/**
 * The directory of a table, undefined where it does not exist. One in a namespace is found too where LanceDB does not
 * list it.
 */
export async function locateTable(
  lancedb: LanceDB,
  database: string,
  id: string,
): Promise<string | undefined> {
  const root = rootDirectory(id);
  if (root !== undefined && isDataset(join(database, root))) return root;
  const found = (await namespacedDirectories(database, id)).filter((name) => isDataset(join(database, name)));
  if (found.length < 2) return found[0];
  const listed = await listedDirectory(lancedb, database, id).catch(() => undefined); // else the caller takes what there is
  return listed !== undefined && found.includes(listed) ? listed : found[0];
}

/** Where LanceDB looks for a table in a namespace, or undefined; there may be nothing, or not yet. */
export async function listedDirectory(
  lancedb: LanceDB,
  database: string,
  id: string,
): Promise<string | undefined> {
  const entries = await listNamespaces(lancedb, database);
  return entries.findLast((entry) => entry.object_id === id)?.location ?? undefined;
}
