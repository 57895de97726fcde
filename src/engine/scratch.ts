import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listNames, makePrivateDirectory, removeTree } from "../fs/directory-tree.ts";
import { isNotWritable } from "../fs/io.ts";
import { livenessOfToken, PROCESS_TOKEN } from "../fs/this-process.ts";
import { isWritable } from "../storage/layers/read-only-storage.ts";
import type { BlobStore } from "./blobs/blob-store.ts";

/** `.open-<process>.<uuid>` in the repository: a name with a dot first is nobody's object (docs/formats.md). */
const HIDDEN = ".open-";
const PUBLIC = "lancedb-backup-open-";

/** An empty directory of this process, where one can be made. */
export interface Scratch {
  readonly directory: string;
  /** Takes it away with all that is in it. Can be done twice. */
  remove(): Promise<void>;
}

/**
 * Makes it in the repository, so that links to blobs can be made; in the system's temporary directory where the
 * repository is not local, cannot be written to, or is encrypted: who can read it must not read what is made there. What dead
 * processes left there is removed.
 */
export async function makeScratch({
  storage,
  codec,
}: Pick<BlobStore, "storage" | "codec">): Promise<Scratch> {
  const { local } = storage;
  const isIn = local && codec.epoch === 0 && isWritable(storage);
  const made = isIn ? await tryMake(local.root, HIDDEN) : undefined;
  const directory = made ?? (await make(tmpdir(), PUBLIC));
  return { directory, remove: () => removeTree(directory) };
}

/** The same, always in the system's temporary directory (`TMPDIR`): for what is made before it goes into a repository. */
export async function makeTemporaryScratch(): Promise<Scratch> {
  const directory = await make(tmpdir(), PUBLIC);
  return { directory, remove: () => removeTree(directory) };
}

async function tryMake(root: string, prefix: string): Promise<string | undefined> {
  try {
    return await make(root, prefix);
  } catch (error) {
    if (isNotWritable(error)) return undefined;
    throw error;
  }
}

async function make(root: string, prefix: string): Promise<string> {
  const directory = join(root, `${prefix}${PROCESS_TOKEN}.${randomUUID()}`);
  makePrivateDirectory(directory);
  await removeDeadScratch(root, prefix);
  return directory;
}

/** Removes what dead processes left of opened snapshots in a repository's directory: links and what was written there. */
export async function removeDeadScratch(root: string, prefix: string = HIDDEN): Promise<void> {
  for (const name of listNames(root)) {
    if (!name.startsWith(prefix)) continue;
    const [token = ""] = name.slice(prefix.length).split(".");
    if (livenessOfToken(token, join(root, name)) !== "dead") continue;
    await removeTree(join(root, name)).catch(() => undefined); // another user's: not ours to remove
  }
}
