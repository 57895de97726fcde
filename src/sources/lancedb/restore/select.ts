import { digestOf } from "../../../engine/blobs/blob-codec.ts";
import { damagedBlob } from "../../../engine/blobs/blob-errors.ts";
import type { BlobStore } from "../../../engine/blobs/blob-store.ts";
import { CorruptError, ValidationError } from "../../../errors.ts";
import { isLeftOut, saysIndices } from "../../../lance/broken-indices.ts";
import { TAGS } from "../../../lance/capture.ts";
import { NAMESPACE_TABLE, parseTableId, rootDirectory } from "../../../lance/database.ts";
import { HistoryFiles, pathsBelow } from "../../../lance/history-files.ts";
import { parseManifestName, VERSIONS } from "../../../lance/manifest.ts";
import type {
  SnapshotContent,
  SnapshotFile,
  SnapshotTableDetails,
  SnapshotVersion,
} from "../snapshot-view.ts";
import type { LeftOut, Selection } from "./restore-options.ts";

/** A table as it is to be restored. */
export interface SelectedTable {
  readonly id: string;
  /** Its id in the snapshot, where it gets another. */
  readonly original?: string | undefined;
  readonly directory: string;
  /** The version that will be the newest, and the SHA-256 of its manifest. */
  readonly version: number;
  readonly digest: string;
  readonly rows: number;
  /** All versions that come along, ascending; `version` is the last. */
  readonly versions: readonly SnapshotVersion[];
  /** The newest version in the snapshot. */
  readonly highest: number;
  readonly files: readonly SnapshotFile[];
  readonly bytes: number;
  /** Whether files of an index were missing when the snapshot was taken. */
  readonly lacksIndices: boolean;
}

/** An entry in the list of namespaces of a table that is not restored. */
export function danglingEntry(table: string): LeftOut {
  return { table, what: "its entry in the list of namespaces: the table is not restored" };
}

export interface Selected {
  readonly tables: readonly SelectedTable[];
  readonly leftOut: readonly LeftOut[];
}

/**
 * Chooses tables, their versions, and the files that these need. Reads manifests only where an older version than
 * the newest is asked for.
 *
 * @throws ValidationError where a table or version is not in the snapshot, or nothing remains.
 * @throws CorruptError where a manifest that must be read is damaged or missing.
 */
export async function select(
  blobs: BlobStore,
  { snapshot, files }: SnapshotContent,
  selection: Selection,
  signal?: AbortSignal,
): Promise<Selected> {
  const wanted = wantedTables(snapshot.id, snapshot.tables, selection);
  const tables: SelectedTable[] = [];
  const leftOut: LeftOut[] = [];
  for (const table of wanted) {
    signal?.throwIfAborted();
    for (const what of table.leftOut) leftOut.push({ table: table.id, what });
    const version = versionOf(table, selection);
    if (version === undefined) {
      leftOut.push({ table: table.id, what: `the table: ${whyNone(table)}` });
      continue;
    }
    const all = files.get(table.directory) ?? [];
    const isNewest = version.version === table.version;
    const chosen = isNewest
      ? { files: all, digest: table.digest, leftOut: [] }
      : await filesUpTo(blobs, table, all, version.version);
    for (const what of chosen.leftOut) leftOut.push({ table: table.id, what });
    tables.push({
      id: table.id,
      directory: table.directory,
      version: version.version,
      digest: chosen.digest,
      rows: version.rows,
      versions: table.versions.filter((entry) => entry.version <= version.version),
      highest: table.version,
      files: chosen.files,
      bytes: chosen.files.reduce((sum, file) => sum + file.size, 0),
      lacksIndices: saysIndices(table.leftOut),
    });
  }
  if (selection.tables === undefined) {
    for (const { table, what } of snapshot.leftOut ?? []) {
      leftOut.push({ table, what: `the table, which is not in the snapshot: ${what}` });
    }
  }
  if (tables.every((table) => table.id === NAMESPACE_TABLE) && wanted.some(isUsers)) {
    throw new ValidationError(
      `Snapshot ${snapshot.id} has no table that is as old as ${selection.at?.toISOString()}. ${leftOut.map(({ table, what }) => `${table}: ${what}`).join(" ")}`,
    );
  }
  return { tables, leftOut };
}

/** Tables under other names: their files lie in other directories, and are the same. @throws ValidationError where two would have one name */
export function underOtherNames(
  tables: readonly SelectedTable[],
  as: Readonly<Record<string, string>> = {},
): readonly SelectedTable[] {
  const renamed = tables.map((table) => {
    const id = Object.hasOwn(as, table.id) ? as[table.id] : undefined;
    return id === undefined ? table : { ...table, id, original: table.id, directory: directoryFor(id) };
  });
  const directories = renamed.map(({ directory }) => directory.toLowerCase());
  const twice = renamed.find((_, index) => directories.indexOf(directories[index] ?? "") < index);
  if (twice) throw new ValidationError(`Two tables would be named ${twice.id}: give it another name.`);
  return renamed;
}

function directoryFor(id: string): string {
  const directory = rootDirectory(id);
  if (directory === undefined) throw new ValidationError(`${id} is not a valid name for a root table.`);
  return directory;
}

function isUsers({ id }: { id: string }): boolean {
  return id !== NAMESPACE_TABLE;
}

function wantedTables(
  snapshot: string,
  all: readonly SnapshotTableDetails[],
  { tables, versions = {} }: Selection,
): readonly SnapshotTableDetails[] {
  const there = all.map((table) => table.id).join(", ") || "none";
  for (const id of [...(tables ?? []), ...Object.keys(versions)]) {
    if (!all.some((table) => table.id === id)) {
      throw new ValidationError(`Snapshot ${snapshot} has no table ${JSON.stringify(id)}. It has: ${there}.`);
    }
  }
  if (!tables) return all;
  const ids = new Set(tables);
  const beside = Object.keys(versions).find((id) => !ids.has(id));
  if (beside !== undefined) {
    throw new ValidationError(
      `A version is given for table ${beside}, which is not one of the tables to restore.`,
    );
  }
  if (tables.some((id) => parseTableId(id).namespacePath.length > 0)) ids.add(NAMESPACE_TABLE);
  return all.filter((table) => ids.has(table.id));
}

/** Undefined where no version is old enough. */
function versionOf(table: SnapshotTableDetails, { at, versions }: Selection): SnapshotVersion | undefined {
  const asked = versions && Object.hasOwn(versions, table.id) ? versions[table.id] : undefined;
  if (asked !== undefined) {
    const found = table.versions.find(({ version }) => BigInt(version) === BigInt(asked));
    if (found) return found;
    throw new ValidationError(
      `Snapshot has no version ${asked} of table ${table.id}. It has: ${ranges(table.versions)}.`,
    );
  }
  if (!at) return table.versions.at(-1);
  const old = table.versions.findLast(({ createdAt }) => createdAt !== undefined && createdAt <= at);
  // The list of namespaces is needed for whatever tables there are; entries without a table are taken out of it.
  return old ?? (table.id === NAMESPACE_TABLE ? table.versions[0] : undefined);
}

function whyNone({ versions }: SnapshotTableDetails): string {
  const [oldest] = versions;
  const since = oldest?.createdAt?.toISOString() ?? "an unknown time";
  return `its oldest version in the snapshot, ${oldest?.version}, is of ${since}.`;
}

/** `1-4, 7`. */
function ranges(versions: readonly SnapshotVersion[]): string {
  const parts: [number, number][] = [];
  for (const { version } of versions) {
    const last = parts.at(-1);
    if (last && last[1] === version - 1) last[1] = version;
    else parts.push([version, version]);
  }
  return parts.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(", ");
}

interface FilesUpTo {
  readonly files: readonly SnapshotFile[];
  /** Of the version's manifest. */
  readonly digest: string;
  readonly leftOut: readonly string[];
}

/** Directories in which each file belongs to versions; elsewhere files belong to the table. */
const OF_VERSIONS = ["data/", "_deletions/", "_indices/", "_transactions/"];

/**
 * Of a table's files those that a version and the ones before it need, and the tags on them. Reads these manifests.
 *
 * @throws CorruptError where one is missing or damaged, or names a file that the snapshot does not have.
 */
async function filesUpTo(
  blobs: BlobStore,
  table: SnapshotTableDetails,
  all: readonly SnapshotFile[],
  version: number,
): Promise<FilesUpTo> {
  const place = `${blobs.storage.location}, table ${table.id}`;
  const listed = new Set(all.map((file) => file.path));
  const reader = new HistoryFiles(place, pathsBelow(listed));
  const needed = new Set<string>();
  const leftOut: string[] = [];
  let own: string | undefined;
  for (const file of all) {
    const number = manifestVersion(file.path);
    if (number === undefined || number > version) continue;
    const bytes = await readFile(blobs, table.id, file);
    for (const { path, index } of reader.read(bytes, number, file.path).files) {
      if (!listed.has(path) && index && isLeftOut(table.leftOut, index)) continue;
      if (!listed.has(path)) {
        throw new CorruptError(
          `Version ${number} of table ${table.id} needs ${path}, which the snapshot lacks.`,
          {
            path,
          },
        );
      }
      needed.add(path);
    }
    needed.add(file.path);
    if (number === version) own = file.sha256;
  }
  if (own === undefined) {
    throw new CorruptError(`The snapshot lacks the manifest of version ${version} of table ${table.id}.`);
  }
  for (const file of all) {
    if (file.path.startsWith(`${TAGS}/`)) {
      const tagged = taggedVersion(await readFile(blobs, table.id, file));
      if (tagged <= version) needed.add(file.path);
      else leftOut.push(`tag ${file.path.slice(TAGS.length + 1, -".json".length)}, on a later version`);
    } else if (
      !file.path.startsWith(`${VERSIONS}/`) &&
      !OF_VERSIONS.some((room) => file.path.startsWith(room))
    ) {
      needed.add(file.path);
    }
  }
  return { files: all.filter((file) => needed.has(file.path)), digest: own, leftOut };
}

function manifestVersion(path: string): number | undefined {
  return path.startsWith(`${VERSIONS}/`)
    ? parseManifestName(path.slice(VERSIONS.length + 1))?.version
    : undefined;
}

/** A small file, held to its digest. */
async function readFile(blobs: BlobStore, table: string, file: SnapshotFile): Promise<Buffer> {
  const content = await blobs.readWhole({ table, ...file });
  if (content.length === file.size && digestOf(content) === file.sha256) return content;
  throw damagedBlob(blobs.storage, { table, ...file });
}

/** Infinity where it cannot be told: such a tag is of no use. */
function taggedVersion(tag: Buffer): number {
  try {
    const content = JSON.parse(tag.toString("utf8")) as { version?: unknown } | null;
    return typeof content?.version === "number" ? content.version : Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
