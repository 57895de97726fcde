import { CorruptError } from "../../errors.ts";
import { isAppleDouble, isCopy } from "../../fs/safe-names.ts";
import type { Storage } from "../../storage/storage.ts";
import { parseSnapshotName, SNAPSHOTS, UNFINISHED } from "../format/names.ts";

/** What a person or a program has copied, renamed or linked may still say so. */
const LIKE_A_DOCUMENT = /\.json|\d{8}T\d{6}Z-[0-9a-f]{8}/i;

const COPIED = /^(\d{8}T\d{6}Z-[0-9a-f]{8})[^/]*\.json$/;

/** The second document of a snapshot, which a synchronising program or a person has kept under another name. */
export interface DocumentCopy {
  readonly name: string;
  /** The snapshot's. */
  readonly id: string;
}

/** What lies below `snapshots/`. */
export interface DocumentSurvey {
  readonly ids: readonly string[];
  /** When each of these was written, by the store's clock. */
  readonly writtenAt: ReadonlyMap<string, Date>;
  readonly copies: readonly DocumentCopy[];
  /** Names of what may be a document all the same. */
  readonly strangers: readonly string[];
  /** Names of what is plainly none. */
  readonly others: readonly string[];
}

/** Whether a name below `snapshots/` that is none may be that of a document all the same. */
function mayBeDocument(name: string): boolean {
  const base = baseOf(name);
  return !UNFINISHED.test(base) && LIKE_A_DOCUMENT.test(base);
}

/**
 * Ids of all documents, and their copies.
 *
 * @throws CorruptError where there may be a document whose name is no id, or that is no plain file: nobody knows what it
 * names.
 */
export async function documentsIn(
  storage: Storage,
  signal?: AbortSignal,
): Promise<Pick<DocumentSurvey, "ids" | "copies" | "writtenAt">> {
  const survey = await surveyDocuments(storage, signal);
  const [stranger] = survey.strangers;
  if (stranger === undefined) return survey;
  const path = `${storage.location}/${stranger}`;
  throw new CorruptError(
    `No blob was removed: ${path} may be the document of a snapshot under a wrong name, or behind a link. Rename it to what it was, or move it away.`,
    { path },
  );
}

/** Looks at names alone, and at the first bytes of what Mac OS calls `._<name>`. */
export async function surveyDocuments(storage: Storage, signal?: AbortSignal): Promise<DocumentSurvey> {
  const writtenAt = new Map<string, Date>();
  const found = new Map<string, boolean>();
  for await (const { name, modified } of storage.list(SNAPSHOTS)) {
    signal?.throwIfAborted();
    if (!name.startsWith(SNAPSHOTS)) continue; // what a broken store adds lies elsewhere
    const id = parseSnapshotName(name);
    if (id !== undefined) writtenAt.set(id, modified);
    else found.set(name, true);
  }
  // A local storage passes over links, and over names that no object can have.
  for await (const { name, kind } of storage.local?.strays(SNAPSHOTS, { deep: false }) ?? [])
    if (mayBeDocument(name)) found.set(name, kind === "file");
  const [copies, strangers, others]: [DocumentCopy[], string[], string[]] = [[], [], []];
  for (const [name, isFile] of found) {
    const id = isFile && isCopy(baseOf(name)) ? COPIED.exec(baseOf(name))?.[1] : undefined;
    if (id !== undefined) copies.push({ name, id });
    else if (isFile && isNote(storage, name)) others.push(name);
    else if (mayBeDocument(name)) strangers.push(name);
    else others.push(name);
  }
  return { ids: [...writtenAt.keys()], writtenAt, copies, strangers, others };
}

/** By its bytes too: any program may have hidden a document by a name that begins so. */
function isNote({ local }: Storage, name: string): boolean {
  return local !== undefined && baseOf(name).startsWith("._") && isAppleDouble(local.pathOf(name));
}

function baseOf(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1);
}
