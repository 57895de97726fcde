import { randomUUID } from "node:crypto";
import { type FileHandle, lstat, open, realpath, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative, sep } from "node:path";
import { isMissing, reasonOf } from "../../fs/io.ts";
import { UsageError } from "../usage-error.ts";
import { PAGE_START } from "./report-page.ts";

/**
 * Whether a page may be written there: never among the files of a repository or a database, and in the place of a page
 * of ours only, unless `force` says that another file may go.
 *
 * @throws UsageError
 */
export async function assertReplaceable(
  file: string,
  repository: string | undefined,
  force: boolean,
): Promise<void> {
  const directory = await realpath(dirname(file)).catch((error: unknown) => {
    throw cannotWrite(file, error);
  });
  const refuse = (why: string) => new UsageError(`The page is not written to ${file}: ${why}.`);
  if (repository !== undefined && isInside(directory, await realpath(repository)))
    throw refuse("it lies in the repository");
  if (directory.split(sep).some((name) => name.endsWith(".lance") || name === ".lancedb-backup")) {
    throw refuse("it lies among a database's files");
  }
  const found = await lstat(file).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw cannotWrite(file, error);
  });
  if (!found) return;
  if (!found.isFile()) throw refuse("what is there is no regular file");
  if (!force && !(await isPage(file))) {
    throw refuse("what is there is not such a page; --force replaces it all the same");
  }
}

/** Whole, or as it was. @throws UsageError */
export async function replaceFile(file: string, content: string): Promise<void> {
  const temporary = join(dirname(file), `.${basename(file)}.${randomUUID()}.tmp`);
  try {
    await writeFile(temporary, content, { flag: "wx" });
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw cannotWrite(file, error);
  }
}

const REASONS: Record<string, string> = {
  ENOENT: "its directory is not there",
  ENOTDIR: "its directory is a file",
  EACCES: "permission denied",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  ENAMETOOLONG: "its name is too long",
};

function cannotWrite(file: string, error: unknown): UsageError {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const reason = REASONS[code] ?? reasonOf(error);
  return new UsageError(`The page cannot be written to ${file}: ${reason}.`);
}

function isInside(path: string, root: string): boolean {
  const way = relative(root, path);
  return way !== ".." && !way.startsWith(`..${sep}`);
}

async function isPage(file: string): Promise<boolean> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(PAGE_START.length), 0, PAGE_START.length, 0);
    return bytesRead === 0 || buffer.toString("utf8", 0, bytesRead) === PAGE_START;
  } catch (error) {
    throw cannotWrite(file, error);
  } finally {
    await handle?.close();
  }
}
