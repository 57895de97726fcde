import { existsSync } from "node:fs";
import { sep } from "node:path";
import { CorruptError, IoError, UnsupportedError } from "../errors.ts";
import { isError, isFull, isNotWritable, isOfSystem, isReadOnly } from "../fs/io.ts";
import { advice } from "../hint.ts";
import { adviceOf } from "../util/advice-of.ts";
import { pathOf } from "./database-argument.ts";
import { commandLine } from "./output/command-line.ts";

/** What only the place that is written to can say. */
const ofTheTarget = (error: IoError) => isFull(error) || isReadOnly(error);

/** What a backup failed with, and where it is one table or file of the database, what to do about it. */
export function backupFailure(error: unknown, database: string, repository: string): unknown {
  if (!isError(error) || !existsSync(pathOf(database))) return error;
  const inside = (path: string | undefined) => path?.startsWith(pathOf(database) + sep) ?? false;
  const doctor = commandLine("doctor", pathOf(database), "--repo", repository);
  const next = `No snapshot was made. ${doctor} says what is wrong and what helps; --table, once for each of the others, backs them up meanwhile, and so does --exclude with its id.`;
  const options = { cause: error };
  if (error instanceof UnsupportedError) {
    return new UnsupportedError(
      advice`${adviceOf(error)} ${next} --on-unsupported leave-out leaves out all such tables.`,
      options,
    );
  }
  if (error instanceof CorruptError && inside(error.path)) {
    return new CorruptError(advice`${adviceOf(error)} ${next}`, { ...options, path: error.path });
  }
  if (error instanceof IoError) {
    // What copies a file tells of the repository that it copies into; the system tells which file it was.
    const [, path] = /, \w+ '([^']+)'/.exec(isError(error.cause) ? error.cause.message : "") ?? [];
    if (path === undefined || !inside(path) || !isOfSystem(error) || ofTheTarget(error)) return error;
    const reason = isNotWritable(error) ? "permission denied" : "it cannot be read";
    const message = `Could not read ${path}, a file of the database: ${reason} (${error.errno}). ${next}`;
    return new IoError(message, { ...options, path, errno: error.errno });
  }
  return error;
}
