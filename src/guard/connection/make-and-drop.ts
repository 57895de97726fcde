import { existsSync, readlinkSync, symlinkSync, unlinkSync } from "node:fs";
import { rename, rmdir } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import type { CreateTableOptions } from "@lancedb/lancedb";
import { CorruptError, IoError, LanceError } from "../../errors.ts";
import { makeDirectory } from "../../fs/directory-tree.ts";
import { syncDirectories } from "../../fs/durable.ts";
import { errnoOf, io, isMissing, reasonOf } from "../../fs/io.ts";
import { moveDirectory } from "../../fs/move-directory.ts";
import { droppedVersion, keepDroppedVersion } from "../../lance/dropped-versions.ts";
import { ImageReader } from "../../lance/image.ts";
import { listManifests, type ManifestName, VERSIONS } from "../../lance/manifest.ts";
import { ensurePrivateDirectory } from "../../lance/private-directory.ts";
import { commitRestore } from "../../lance/put-back/commit-restore.ts";
import { linkTarget } from "../../lance/stubs.ts";
import type { OpenWork } from "./open-work.ts";

/** A link that is relative would lead elsewhere from there. */
async function moveAside(path: string, kept: string): Promise<void> {
  const target = linkTarget(path);
  if (target === undefined || isAbsolute(readlinkSync(path))) return moveDirectory(path, kept, VERSIONS);
  symlinkSync(target, kept, "junction");
  unlinkSync(path);
}

interface Dropped {
  readonly table: string;
  /** The table's, in the database. */
  readonly directory: string;
  /** Where it goes, below the database's own `aside/`. */
  readonly aside: string;
}

/**
 * Moves a table aside, and has LanceDB drop an empty directory in its place. Where that fails, the table is back:
 * what lies aside goes when the work has succeeded.
 *
 * @param onStuck told where the table could not be moved back: then the work may not succeed.
 */
export async function dropAside<R>(
  database: string,
  { table, directory, aside }: Dropped,
  drop: () => Promise<R>,
  onStuck: (error: IoError) => void,
): Promise<R> {
  const path = join(database, directory);
  const kept = join(ensurePrivateDirectory(database, "aside"), aside);
  const parent = dirname(kept);
  makeDirectory(parent);
  await io("move aside", path, () => moveAside(path, kept));
  try {
    makeDirectory(path);
    await syncDirectories([parent, dirname(parent), dirname(dirname(parent))]);
    keepDroppedVersion(database, table, (await listManifests(kept))[0]?.version ?? 0);
    return await drop();
  } catch (error) {
    try {
      await rmdir(path).catch((reason: unknown) => {
        if (!isMissing(reason)) throw reason;
      });
      await rename(kept, path);
    } catch (cause) {
      const stuck = new IoError(
        `The drop of table ${table} failed (${reasonOf(error)}), and it could not be moved back from ${kept} to ${path} (${reasonOf(cause)}): the guarded work goes back as a whole.`,
        { path, errno: errnoOf(cause), cause },
      );
      onStuck(stuck);
      throw stuck;
    }
    throw error;
  }
}

/** How often others may commit to a table that has just been made, before we give up. */
const MOST_ATTEMPTS = 100;

/**
 * The highest version number that handles may have seen of a table that had the name of one that is to be made; 0 where
 * none had it, as far as we know.
 */
export function highestSeen(operation: OpenWork, table: string): number {
  const before = operation.captured(table);
  const dropped = droppedVersion(operation.database, table);
  return Math.max(before?.state === "present" ? before.version : 0, dropped);
}

/**
 * Lifts a table that the work has just made above every version that was dropped under its name, by a restore of its own
 * newest version (docs/protocol.md, *The jump*): a write by a handle from before then fails, and breaks nothing.
 */
export async function liftAbove(operation: OpenWork, table: string, floor: number): Promise<void> {
  const directory = await operation.directoryOf(table);
  if (directory === undefined) return;
  const dataset = join(operation.database, directory);
  await operation.write({
    table,
    intent: async () => ({
      step: "commit",
      table,
      kinds: ["restore"],
      above: await operation.headOf(table),
      several: true,
    }),
    run: () => lift(operation, dataset, floor),
    outcome: (versions) => ({ versions }),
  });
}

/**
 * The newest version whose files are all there: a handle from before may have been quick enough to commit to the new
 * table, on top of files that went with the old one.
 */
async function newestWhole(
  dataset: string,
  manifests: readonly ManifestName[],
): Promise<ManifestName | undefined> {
  for (const manifest of manifests) {
    try {
      const { files } = await new ImageReader(dataset).read(manifest);
      if (files.every(({ path, index }) => index || existsSync(join(dataset, path)))) return manifest;
    } catch (error) {
      if (!(error instanceof CorruptError) && !isMissing(error)) throw error;
    }
  }
  return undefined;
}

/** Answers with the versions that it committed. */
async function lift({ lancedb, database }: OpenWork, dataset: string, floor: number): Promise<number[]> {
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const manifests = await listManifests(dataset);
    const manifest = await newestWhole(dataset, manifests);
    const head = manifests[0]?.version ?? 0;
    if (!manifest || (manifest.version > floor && manifest.version === head)) return [];
    const request = { dataset, wanted: { dataset, manifest }, head, floor };
    const commit = await commitRestore(lancedb, database, request);
    if (commit) return [...new Set([head + 1, commit.version])];
  }
  throw new LanceError(`${dataset} is committed to without pause; its version could not be lifted.`);
}

/** A call of `createTable` or `createEmptyTable`, which take their arguments in several ways. */
export interface Creation {
  readonly name: string;
  readonly path: readonly string[];
  /** What becomes of a table that is there: LanceDB refuses, writes over it, or opens it. */
  readonly mode: "create" | "overwrite" | "open";
  /** The arguments with which LanceDB refuses where the table is there. */
  readonly refusing: readonly unknown[];
}

type Options = Partial<CreateTableOptions>;

export function creationOf(args: readonly unknown[]): Creation {
  const [first, second, third, fourth] = args;
  if (isObject(first) && "name" in first) {
    const { name } = first;
    return { name: String(name), ...more(second, first), refusing: [{ ...first, existOk: false }, second] };
  }
  const isPath = Array.isArray(third);
  const options = (isPath ? fourth : third) as Options | undefined;
  const refused = { ...options, existOk: false };
  const refusing = isPath ? [first, second, third, refused] : [first, second, refused];
  return { name: String(first), ...more(isPath ? third : undefined, options), refusing };
}

function more(path: unknown, options: Options | undefined): Pick<Creation, "path" | "mode"> {
  const { mode = "create", existOk = false } = options ?? {};
  return {
    path: Array.isArray(path) ? path.map(String) : [],
    mode: mode === "create" && existOk ? "open" : mode,
  };
}

function isObject(value: unknown): value is Options & { readonly name?: unknown } {
  return typeof value === "object" && value !== null;
}
