import { CorruptError, UnsupportedError, ValidationError } from "../../errors.ts";
import { placeWithin } from "../../fs/local-path.ts";
import { assertPathsApart, namedPath } from "../format/check-paths.ts";
import type { Entry, Source } from "../source-contract.ts";

/** A repository in its database is lost with it; a database in a repository is none of its objects. */
export function assertApart({ root }: Source, directory: string | undefined): void {
  // Where they are one, it has no table, which is told.
  if (directory === undefined || root === undefined || placeWithin(directory, root) === "") return;
  if (placeWithin(directory, root) !== undefined)
    throw new ValidationError(
      `The repository ${directory} lies in the database ${root}; it would be lost with it.`,
    );
  if (placeWithin(root, directory) !== undefined)
    throw new ValidationError(`The database ${root} lies in the repository ${directory}.`);
}

/**
 * Holds what was captured to what a snapshot can name: a document that breaks a rule of the format could be written,
 * and never be read.
 *
 * @throws UnsupportedError naming the source and the path.
 */
export function assertNameable(entries: readonly Entry[], source: string): void {
  try {
    assertPathsApart(entries.map(namedPath), source);
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    throw new UnsupportedError(
      `${error.message} A snapshot keeps no two names that differ by the case of letters alone, since not every file system does, and no path that leaves its directory or is too long. Rename a table or a tag, or name the tables to back up.`,
      { cause: error },
    );
  }
}
