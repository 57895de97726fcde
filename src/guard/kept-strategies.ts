import { readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CorruptError } from "../errors.ts";
import { makeDirectory, removeTree } from "../fs/directory-tree.ts";
import { syncDirectories, writeFileDurably } from "../fs/durable.ts";
import { assertRoot, ifThere, isStampOf, stampOf } from "../fs/held-root.ts";
import { errnoOf, io, isMissing, toIoError } from "../fs/io.ts";
import { type LinkMode, PIN_ORDER, Placer } from "../fs/placer.ts";
import { encodeRecord } from "../fs/record.ts";
import { takeOwner } from "../fs/take-owner.ts";
import { type Capture, captureTable } from "../lance/capture.ts";
import type { OnUnsupported } from "../lance/left-out.ts";
import { assertStrategy, BackupStrategy } from "./backup-strategy.ts";
import type { EntryRecord } from "./journal/entry-record.ts";
import { readRecord } from "./journal/journal-record.ts";

/** Our document in a backup's directory; the tables lie beside it, so that LanceDB opens the whole. */
export const BACKUP_FILE = "backup.json";

/** Every version's files under `<backupDir>/<id>/`. */
export const directoryCopy: Strategy = {
  name: BackupStrategy.DirectoryCopy,
  pathOf: (context, id) => join(context.backupDir, id),
  claim: claimDirectory,
  tablesDirectory: (_entry, backupPath) => backupPath,
  async capture({ context, dataset, target, signal, durable, unsupportedVersions }) {
    const placer = new Placer(context.link, { syncLinked: durable });
    const capture = await captureTable(dataset, {
      ...{ target, placer, history: "all", signal, unsupportedVersions },
      latestAlone: `with the strategy ${JSON.stringify(BackupStrategy.LanceVersion)}`,
    });
    const backup = dirname(target);
    await placer.sync([backup, dirname(backup), dirname(dirname(backup))]); // backupDir itself may be new
    return capture;
  },
  async seal(record) {
    const { backupPath } = record;
    await writeFileDurably(
      join(backupPath, BACKUP_FILE),
      encodeRecord({ ...record, state: "complete", self: stampOf(backupPath) }),
      () => syncDirectories([dirname(backupPath)]),
    );
  },
  async discard(backupPath, uuid) {
    const partial = partialPath(backupPath, uuid);
    assertRoot(backupPath); // else it would be left behind for good
    // Renamed first: half a backup must never be found under a backup's name.
    if (isOurs(backupPath, uuid)) {
      await io("remove", backupPath, async () => {
        try {
          await rename(backupPath, partial);
        } catch (error) {
          if (errnoOf(error) === "EXDEV") return removeInPlace(backupPath);
          if (!isMissing(error)) throw error; // another process removes it too, and was quicker
          if (assertRoot(backupPath) && isOurs(backupPath, uuid)) await rename(backupPath, partial);
        }
      });
    }
    await removeTree(partial);
  },
};

/** Of a file system's lower layer, which cannot be renamed: what says whose it is goes first. */
async function removeInPlace(backupPath: string): Promise<void> {
  rmSync(join(backupPath, BACKUP_FILE), { force: true });
  await removeTree(backupPath);
}

function partialPath(backupPath: string, uuid: string): string {
  return join(dirname(backupPath), `.partial-${uuid}`);
}

/** The directory gets its name with our document already in it, so that it can always be told whose it is. */
function claimDirectory(path: string, uuid: string): boolean {
  const partial = partialPath(path, uuid);
  try {
    makeDirectory(partial);
    const document = join(partial, BACKUP_FILE);
    writeFileSync(document, encodeRecord({ uuid, state: "making", self: stampOf(partial) }));
    takeOwner(document);
    return renameUnlessTaken(partial, path);
  } catch (error) {
    removeQuietly(partial);
    throw toIoError(error, "make directory", path);
  }
}

function renameUnlessTaken(partial: string, path: string): boolean {
  try {
    renameSync(partial, path);
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno !== "ENOTEMPTY" && errno !== "EEXIST" && errno !== "ENOTDIR") throw error;
    removeQuietly(partial);
    return false;
  }
}

function removeQuietly(directory: string): void {
  try {
    rmSync(directory, { recursive: true, force: true });
  } catch {
    return; // the entry that names it has it removed; the first error is what matters
  }
}

/** Whether a backup's directory is not the one that was made, but a copy. Unknown counts as the one. */
export function isCopied(backupPath: string): boolean {
  try {
    const body = readRecord(join(backupPath, BACKUP_FILE));
    const self = typeof body === "object" && body !== null && "self" in body ? body.self : undefined;
    return self !== undefined && !isStampOf(self, backupPath);
  } catch (error) {
    if (error instanceof CorruptError) return false;
    throw error;
  }
}

/** False, too, where the document cannot be read: what cannot be proved ours is not removed. */
function isOurs(path: string, uuid: string): boolean {
  let body: unknown;
  try {
    body = readRecord(join(path, BACKUP_FILE));
  } catch (error) {
    if (error instanceof CorruptError) return false;
    throw error;
  }
  if (typeof body === "object" && body !== null && "uuid" in body) return body.uuid === uuid;
  return body === undefined && isEmpty(path);
}

function isEmpty(path: string): boolean {
  try {
    return ifThere(path, () => readdirSync(path))?.length === 0;
  } catch (error) {
    throw toIoError(error, "list", path);
  }
}

/** Links to the newest version's files, in the journal entry itself; they go with it. */
const lanceVersion: Strategy = {
  name: BackupStrategy.LanceVersion,
  pathOf: () => undefined,
  claim: () => true,
  tablesDirectory: (entry) => entry.pins,
  async capture({ dataset, target, signal, durable }) {
    const placer = new Placer(PIN_ORDER, { syncLinked: durable });
    const capture = await captureTable(dataset, { target, placer, history: "latest", signal });
    if (capture) await placer.sync([dirname(target)]);
    return capture;
  },
  seal: async () => undefined,
  discard: async () => undefined,
};

export interface StrategyContext {
  readonly database: string;
  readonly backupDir: string;
  readonly link: LinkMode;
}

/**
 * Where and how a backup keeps the files of its tables. To add one: implement this, and name it in
 * `strategyOf`.
 */
export interface Strategy {
  readonly name: BackupStrategy;
  /** Where a backup with this id lies; undefined: in its journal entry. */
  pathOf(context: StrategyContext, id: string): string | undefined;
  /** Makes that place, exclusively: `false` where the name is taken. */
  claim(path: string, uuid: string): boolean;
  /** The directory that holds the tables' directories. */
  tablesDirectory(entry: { readonly pins: string }, backupPath: string): string;
  /** Keeps one table; durable when it returns. Undefined where there is no such table. */
  capture(options: {
    context: StrategyContext;
    dataset: string;
    target: string;
    signal?: AbortSignal | undefined;
    /** Put the content of linked files on the disk too, which LanceDB did not. */
    durable?: boolean | undefined;
    /** What becomes of older versions that cannot be captured in full. Default `fail`. */
    unsupportedVersions?: OnUnsupported | undefined;
  }): Promise<Capture | undefined>;
  /** Records beside the files what they are, where the files outlive the journal. */
  seal(record: EntryRecord): Promise<void>;
  /** Removes what was kept. Never touches a path that is not this backup's own. */
  discard(backupPath: string, uuid: string): Promise<void>;
}

/** @throws ValidationError where no strategy has this name. */
export function strategyOf(name: unknown): Strategy {
  assertStrategy(name);
  return name === BackupStrategy.DirectoryCopy ? directoryCopy : lanceVersion;
}
