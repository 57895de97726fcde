import { readdirSync } from "node:fs";
import { join } from "node:path";
import { CorruptError } from "../../errors.ts";
import { ifThere } from "../../fs/held-root.ts";
import { toIoError } from "../../fs/io.ts";
import type { Storage } from "../../storage/storage.ts";
import { parseSnapshotName, SNAPSHOTS, UNFINISHED } from "../format/names.ts";

/** What a person or a program has copied, renamed or linked may still say so. */
const LIKE_A_DOCUMENT = /\.json|\d{8}T\d{6}Z-[0-9a-f]{8}/i;

/** Whether a name below `snapshots/` that is none may be that of a document all the same. */
function mayBeDocument(name: string): boolean {
  const base = name.slice(name.lastIndexOf("/") + 1);
  return !UNFINISHED.test(base) && LIKE_A_DOCUMENT.test(base);
}

/**
 * Ids of all documents.
 *
 * @throws CorruptError where there may be a document whose name is no id, or that is no plain file: nobody knows what it
 * names.
 */
export async function documentIds(storage: Storage, signal?: AbortSignal): Promise<string[]> {
  const { ids, strangers } = await surveyDocuments(storage, signal);
  const [stranger] = strangers;
  if (stranger === undefined) return ids;
  const path = `${storage.location}/${stranger}`;
  throw new CorruptError(
    `No blob was removed: ${path} may be the document of a snapshot, under a name that is none, or behind a link. Give it back its name, or move it away.`,
    { path },
  );
}

/** Ids of documents, the names of what may be one all the same, and those of what is plainly none. Reads none. */
export async function surveyDocuments(
  storage: Storage,
  signal?: AbortSignal,
): Promise<{ ids: string[]; strangers: string[]; others: string[] }> {
  const [ids, others]: [string[], string[]] = [[], []];
  const strangers = new Set(storage.directory === undefined ? [] : hiddenFrom(storage.directory));
  for await (const { name } of storage.list(SNAPSHOTS)) {
    signal?.throwIfAborted();
    const id = parseSnapshotName(name);
    if (id !== undefined) ids.push(id);
    else if (mayBeDocument(name)) strangers.add(name);
    else others.push(name);
  }
  return { ids, strangers: [...strangers], others };
}

/** A storage passes over links, and over names that no object can have. */
function hiddenFrom(directory: string): string[] {
  const folder = join(directory, SNAPSHOTS);
  try {
    const entries = ifThere(folder, () => readdirSync(folder, { withFileTypes: true })) ?? [];
    return entries
      .map((entry) => ({ name: `${SNAPSHOTS}${entry.name}`, isFile: entry.isFile() }))
      .filter(({ name, isFile }) => mayBeDocument(name) && !(isFile && parseSnapshotName(name) !== undefined))
      .map(({ name }) => name);
  } catch (error) {
    throw toIoError(error, "list", folder);
  }
}
