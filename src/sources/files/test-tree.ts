import { createHash } from "node:crypto";
import type { EntryAttributes, StoredEntry } from "../../engine/snapshot.ts";
import type { PartToTest } from "../../engine/source-kind.ts";
import { CorruptError } from "../../errors.ts";
import { FileEntry } from "./file-entry.ts";
import { pathBytes } from "./file-names.ts";
import { writeTree } from "./restore-tree.ts";
import { walkTree } from "./walk-tree.ts";
import { modeWithoutList } from "./xattrs.ts";

/** Half a millisecond: a file system may keep times less exactly than the snapshot. */
const MOST_APART_MS = 0.5;
/** So many files are read before others have their turn. */
const STRETCH = 128;
const ALL_BUT_SET_ID = 0o1777;

/** Restores files into a directory, and reads all of them there again: names, contents, modes, times and links. */
export async function testTree({ scratch, ...request }: PartToTest): Promise<string> {
  const { part, signal } = request;
  const plan = await writeTree({ ...request, target: scratch });
  const events = { changed: new Set<string>(), vanished: new Set<string>() };
  const marked = part.entries.filter(({ attributes }) => attributes && plan.xattrs.has(attributes)).length;
  const withXattrs = marked > 0;
  const tree = await walkTree(scratch, { rules: undefined, oneFileSystem: true, withXattrs, events, signal });
  // Where they cannot be written or read here, that is told.
  const unread = withXattrs ? (plan.xattrs.inWords() ?? tree.xattrsUnread) : undefined;
  const wanted = new Map(part.entries.map((entry) => [keyOf(entry.path), entry]));
  if (tree.entries.length !== wanted.size) {
    throw new CorruptError(
      `The snapshot has ${wanted.size} names, and ${tree.entries.length} were restored.`,
    );
  }
  let sinceYield = 0;
  for (const entry of tree.entries) {
    const stored = wanted.get(keyOf(entry.path));
    if (!stored) throw new CorruptError(`${entry.path} was restored, and is not in the snapshot.`);
    assertSame(stored, entry.attributes ?? {});
    if (withXattrs && unread === undefined) assertSameXattrs(stored, entry.attributes ?? {});
    const file = entry.sameAs ?? entry;
    if (file instanceof FileEntry) await assertContent(stored, file, signal);
    if (++sinceYield % STRETCH > 0) continue;
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
  }
  const count = (number: number) => number.toLocaleString("en");
  const found = `${count(tree.files)} files, ${count(tree.directories)} directories and ${count(tree.links)} symbolic links were restored, and ${count(plan.bytes)} bytes read again`;
  if (!withXattrs) return `${found}.`;
  return unread === undefined
    ? `${found}, with the extended attributes of ${count(marked)}.`
    : `${found}. Not tested: ${unread}.`;
}

function keyOf(path: string): string {
  return pathBytes(path, "the restored directory").toString("latin1");
}

function assertSame({ path, attributes = {} }: StoredEntry, there: EntryAttributes): void {
  const { mtimeMs, link, directory, xattrs } = attributes;
  const mode = attributes.mode === undefined ? undefined : modeWithoutList(attributes.mode, xattrs);
  const isMode =
    mode === undefined ||
    link !== undefined ||
    (mode & ALL_BUT_SET_ID) === ((there.mode ?? 0) & ALL_BUT_SET_ID);
  const isTime = mtimeMs === undefined || Math.abs(mtimeMs - (there.mtimeMs ?? 0)) < MOST_APART_MS;
  if (isMode && isTime && link === there.link && directory === there.directory) return;
  throw new CorruptError(
    `${path} was restored, but differs from the snapshot: ${shown(there)} instead of ${shown(attributes)}.`,
  );
}

function shown({ xattrs: _, ...attributes }: EntryAttributes): string {
  return JSON.stringify(attributes);
}

/** Of data: what else there is is not given to files that are tested. */
function assertSameXattrs({ path, attributes = {} }: StoredEntry, there: EntryAttributes): void {
  for (const [name, value] of Object.entries(attributes.xattrs ?? {})) {
    if (!name.startsWith("user.") || there.xattrs?.[name] === value) continue;
    throw new CorruptError(
      `${path} was restored, but its extended attribute ${name} differs from the snapshot.`,
    );
  }
}

async function assertContent(
  stored: StoredEntry,
  entry: FileEntry,
  signal: AbortSignal | undefined,
): Promise<void> {
  const hash = createHash("sha256");
  const whole = entry.whole();
  for await (const stretch of whole ? [whole] : entry.open({ signal })) hash.update(stretch);
  if (hash.digest("hex") === stored.sha256) return;
  throw new CorruptError(`${entry.path} was restored, but its content differs from the snapshot.`);
}
