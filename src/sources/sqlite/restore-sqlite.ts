import { createHash, randomUUID } from "node:crypto";
import { chmodSync, chownSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { umask } from "node:process";
import type { OnProgress } from "../../engine/progress.ts";
import { CorruptError, ValidationError } from "../../errors.ts";
import { listNames, makeDirectory } from "../../fs/directory-tree.ts";
import { toIoError } from "../../fs/io.ts";
import { realPath } from "../../fs/local-path.ts";
import { isRoot, takeOwner } from "../../fs/take-owner.ts";
import { livenessOfToken, PROCESS_TOKEN } from "../../fs/this-process.ts";
import type { DatabaseFacts } from "./inspect-database.ts";
import { SqliteProcess } from "./sqlite-process.ts";

/** A database file, as bytes from somewhere. */
export interface DatabaseContent {
  readonly size: number;
  /** Hexadecimal. */
  readonly sha256: string;
  /** Permission bits; undefined: those of a new file. */
  readonly mode?: number | undefined;
  /** What it is, for messages. */
  readonly name: string;
  read(): AsyncIterable<Uint8Array>;
}

export interface RestoreDatabaseRequest {
  readonly content: DatabaseContent;
  /** The path of the file. */
  readonly target: string;
  /** `new`: there is none yet, or an empty file. `in-place`: in the place of the one that is there. */
  readonly mode: "new" | "in-place";
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** How long to wait for transactions of others. */
const LOCK_TIMEOUT_MS = 5000;

const COUNT_MS = 30_000;

/** `.lancedb-backup-restore.<process>.<uuid>.tmp` beside the target. */
const UNFINISHED = ".lancedb-backup-restore.";

/**
 * Refuses what can be refused of a restore before anything is written.
 *
 * @throws ValidationError where there is a database already, and it is not to be replaced.
 */
export function assertTarget(target: string, mode: "new" | "in-place"): string {
  const path = realPath(target);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat && !stat.isFile())
    throw new ValidationError(`${target} is not a file, so it cannot be a SQLite database.`);
  if (mode === "new" && stat && stat.size > 0) {
    throw new ValidationError(
      `There is a file at ${target} already. Restore to another path, or replace it by mode "in-place" (--in-place).`,
    );
  }
  return path;
}

/**
 * Writes a database beside its target, checks it as a backup does, and puts it there: of the old one nothing is
 * left, neither its journals. Interrupted anywhere, the target is as it was, or the next who opens it takes it back to that.
 *
 * @throws CorruptError where the bytes are not those that were backed up, or are no sound database. @throws LockedError where a process has
 * the target open. @throws ValidationError, IoError; the signal's reason
 */
export async function restoreDatabaseFile(request: RestoreDatabaseRequest): Promise<DatabaseFacts> {
  const { content, mode, signal } = request;
  const target = assertTarget(request.target, mode);
  const directory = dirname(target);
  makeDirectory(directory);
  sweepUnfinished(directory);
  const temporary = join(directory, `${UNFINISHED}${PROCESS_TOKEN}.${randomUUID()}.tmp`);
  await using worker = new SqliteProcess();
  try {
    const facts = await writeChecked(worker, temporary, request);
    takePermissions(temporary, target, content.mode);
    signal?.throwIfAborted();
    const replacement = { from: temporary, target, timeoutMs: LOCK_TIMEOUT_MS };
    await worker.run("replace", replacement, { what: `Replacing ${target}` });
    return facts;
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Writes a database into an empty directory, and reads it there in full. @throws as a restore */
export async function tryDatabase(
  content: DatabaseContent,
  scratch: string,
  options: Pick<RestoreDatabaseRequest, "signal" | "onProgress"> = {},
): Promise<DatabaseFacts> {
  await using worker = new SqliteProcess();
  return await writeChecked(worker, join(scratch, "database"), { content, ...options });
}

async function writeChecked(
  worker: SqliteProcess,
  file: string,
  request: Pick<RestoreDatabaseRequest, "content" | "signal" | "onProgress">,
): Promise<DatabaseFacts> {
  const { name } = request.content;
  await writeContent(file, request);
  const input = { file, name, countMs: COUNT_MS };
  return worker.run("inspect", input, { signal: request.signal, what: `The check of ${name}` });
}

async function writeContent(
  path: string,
  { content, signal, onProgress }: Pick<RestoreDatabaseRequest, "content" | "signal" | "onProgress">,
): Promise<void> {
  const { size, sha256, name } = content;
  const hash = createHash("sha256");
  let bytes = 0;
  try {
    const file = await open(path, "wx", 0o600);
    try {
      for await (const piece of content.read()) {
        signal?.throwIfAborted();
        hash.update(piece);
        bytes += piece.length;
        await file.writeFile(piece);
        onProgress?.({ phase: "write", files: 0, bytes, totalFiles: 1, totalBytes: size });
      }
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw toIoError(error, "restore to", dirname(path));
  }
  if (bytes !== size || hash.digest("hex") !== sha256) {
    throw new CorruptError(`What is kept of ${name} is damaged: it is not what was backed up.`, {
      path: name,
    });
  }
  onProgress?.({ phase: "write", files: 1, bytes, totalFiles: 1, totalBytes: size });
}

/** Those of the file that it replaces; else what it had when it was backed up, and its directory's owner. */
function takePermissions(temporary: string, target: string, mode: number | undefined): void {
  const old = statSync(target, { throwIfNoEntry: false });
  try {
    chmodSync(temporary, old ? old.mode & 0o777 : (mode ?? 0o666 & ~umask()));
    if (old && isRoot()) chownSync(temporary, old.uid, old.gid);
  } catch (error) {
    throw toIoError(error, "give permissions to", target);
  }
  if (!old) takeOwner(temporary);
}

/** What dead processes left of restores into a directory. */
function sweepUnfinished(directory: string): void {
  for (const name of listNames(directory)) {
    if (!name.startsWith(UNFINISHED)) continue;
    const [token = ""] = name.slice(UNFINISHED.length).split(".");
    const path = join(directory, name);
    if (livenessOfToken(token, path) === "dead") rmSync(path, { force: true });
  }
}
