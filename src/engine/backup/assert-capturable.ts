import { CorruptError, UnsupportedError, ValidationError } from "../../errors.ts";
import { shown } from "../../fs/fields.ts";
import { placeWithin } from "../../fs/local-path.ts";
import { isObject } from "../../fs/record.ts";
import { assertPathsApart, namedPath } from "../format/check-paths.ts";
import { attributesGiven, isCount } from "../format/decode-entry.ts";
import type { JsonObject } from "../snapshot.ts";
import type { Capture, Entry, Source, SourceDetails } from "../source-contract.ts";

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

/** @throws TypeError for what is no capture: a source may be a user's. */
export function assertCapture(capture: Capture, source: string): void {
  const given: unknown = capture;
  const { capturedAt, entries, finish } = isObject(given) ? given : {};
  const time = isObject(capturedAt) ? (capturedAt as Partial<Date>).getTime?.() : undefined;
  if (!Number.isFinite(time)) throw wrong(source, "a capture whose capturedAt is no time");
  if (typeof entries !== "function") throw wrong(source, "a capture without entries()");
  if (typeof finish !== "function") throw wrong(source, "a capture without finish()");
  if (typeof capture[Symbol.asyncDispose] !== "function")
    throw wrong(source, "a capture without [Symbol.asyncDispose]()");
}

/** @throws TypeError for what is no entry, and what no document could say of one. */
export async function entriesOf(capture: Capture, source: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const entry of capture.entries()) {
    assertEntry(entry, source);
    entries.push(entry);
  }
  return entries;
}

function assertEntry(entry: Entry, source: string): void {
  if (!isObject(entry) || typeof entry.path !== "string")
    throw wrong(source, `an entry without a path: ${shown(entry)}`);
  const { path, size, stamp, attributes } = entry;
  const refuse = (what: string, value: unknown) =>
    wrong(source, `an entry ${shown(path)} whose ${what}, and is ${shown(value)}`);
  if (size !== undefined && !isCount(size)) throw refuse("size must be a count of bytes", size);
  if (stamp !== undefined && typeof stamp !== "string") throw refuse("stamp must be a text", stamp);
  if (attributes !== undefined && !attributesGiven(attributes))
    throw refuse("attributes are not as they must be", attributes);
  if (typeof entry.open !== "function") throw refuse("open must be a function", entry.open);
}

/** What is said of a part, all of it. @throws TypeError for what no document could say. */
export function detailsOf(
  said: SourceDetails | undefined,
  source: string,
): { about: JsonObject; details: JsonObject; warnings: NonNullable<SourceDetails["warnings"]> } {
  const { about = {}, details = {}, warnings = [], ...more } = said ?? {};
  for (const [name, value] of Object.entries({ about, details })) {
    if (!isObject(value) || "toJSON" in value) throw wrong(source, `${name} that is no object of JSON`);
  }
  return { about, details: Object.keys(more).length > 0 ? { ...more, ...details } : details, warnings };
}

function wrong(source: string, what: string): TypeError {
  return new TypeError(`The source ${source} gave ${what}.`);
}
