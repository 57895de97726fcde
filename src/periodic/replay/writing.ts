import { BackupError, LanceError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import type { BackupFileReader, TableReader } from "../file/types.ts";

/** Runs what writes a table of a file; an error of LanceDB comes out with the names of both. */
export async function writing<T>(
  { path }: BackupFileReader,
  { head }: TableReader,
  task: () => Promise<T>,
): Promise<T> {
  try {
    return await task();
  } catch (error) {
    if (error instanceof BackupError) throw error;
    const reason = reasonOf(error);
    throw new LanceError(`LanceDB could not write the table ${head.table} of ${path}: ${reason}`, {
      cause: error,
    });
  }
}
