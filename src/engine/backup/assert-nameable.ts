import { CorruptError, UnsupportedError } from "../../errors.ts";
import { assertPathsApart, assertTablePlace } from "../format/check-paths.ts";
import type { CapturedTable } from "../source.ts";

/**
 * Holds what was captured to what a snapshot can name: a document that breaks a rule of the format could be written,
 * and never be read.
 *
 * @throws UnsupportedError naming the table and the path.
 */
export function assertNameable(tables: readonly CapturedTable[], source: string): void {
  try {
    for (const { id, directory } of tables) assertTablePlace(id, directory, source);
    assertPathsApart(
      tables.map(({ directory }) => directory),
      source,
    );
    for (const { id, files } of tables) {
      assertPathsApart(
        files.map(({ path }) => path),
        `Table ${id} of ${source}`,
      );
    }
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    throw new UnsupportedError(
      `${error.message} A snapshot keeps no two names that differ by the case of letters alone, since not every file system does. Rename a table or a tag, or name the tables to back up.`,
      { cause: error },
    );
  }
}
