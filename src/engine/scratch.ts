import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errnoOf, isError, isMissing, toIoError } from "../fs/io.ts";
import { livenessOfToken, PROCESS_TOKEN } from "../fs/process-token.ts";
import { removeTree } from "../fs/remove-tree.ts";
import { takeOwner } from "../fs/take-owner.ts";
import type { Storage } from "../storage/storage.ts";

/** `.open-<process>.<uuid>` in the repository: a name with a dot first is nobody's object (docs/formats.md). */
const HIDDEN = ".open-";
const PUBLIC = "lancedb-backup-open-";

/** Errors by which a place says that it cannot be written to. */
const READ_ONLY = new Set(["EROFS", "EACCES", "EPERM"]);

/** An empty directory of this process, where one can be made. */
export interface Scratch {
  readonly directory: string;
  /** Takes it away with all that is in it. Can be done twice. */
  remove(): Promise<void>;
}

/**
 * Makes it in the repository, so that links to blobs can be made; in the system's temporary directory where the
 * repository is not local or cannot be written to. What dead processes left there is swept.
 */
export async function makeScratch(storage: Storage): Promise<Scratch> {
  const made = storage.directory === undefined ? undefined : await tryMake(storage.directory, HIDDEN);
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
    const cause = isError(error) ? error.cause : undefined;
    if (READ_ONLY.has(errnoOf(cause) ?? "")) return undefined;
    throw error;
  }
}

async function make(root: string, prefix: string): Promise<string> {
  const directory = join(root, `${prefix}${PROCESS_TOKEN}.${randomUUID()}`);
  try {
    mkdirSync(directory, { mode: 0o700 });
    takeOwner(directory);
  } catch (error) {
    throw toIoError(error, "make directory", directory);
  }
  await sweepScratch(root, prefix);
  return directory;
}

/** Removes what dead processes left of opened snapshots in a repository's directory: links and what was written there. */
export async function sweepScratch(root: string, prefix: string = HIDDEN): Promise<void> {
  let names: string[];
  try {
    names = readdirSync(root);
  } catch (error) {
    if (isMissing(error)) return;
    throw toIoError(error, "list", root);
  }
  for (const name of names) {
    if (!name.startsWith(prefix)) continue;
    const [token = ""] = name.slice(prefix.length).split(".");
    if (livenessOfToken(token, join(root, name)) !== "dead") continue;
    await removeTree(join(root, name)).catch(() => undefined); // another user's: not ours to sweep
  }
}
