import { existsSync } from "node:fs";
import { BackupError, BackupNotFoundError, ValidationError } from "../../errors.ts";
import { localPath } from "../../fs/local-path.ts";
import { realPath } from "../../fs/real-path.ts";
import { identifyDatabase } from "../../lance/database-identity.ts";
import type { Snapshot } from "../snapshot.ts";

/** As many databases are named in a message. */
const MOST_SHOWN = 10;

/**
 * The snapshots of one database.
 *
 * @param wanted its id; its directory as it is now, wherever it was when they were taken; or else where it was then.
 */
export function ofSource<T extends Pick<Snapshot, "source">>(snapshots: readonly T[], wanted: string): T[] {
  const byId = snapshots.filter(({ source }) => source.id === wanted);
  if (byId.length > 0) return byId;
  const path = pathFrom(wanted);
  const id = path === undefined ? undefined : idAt(path);
  const byDirectory = snapshots.filter(({ source }) => source.id === id);
  if (byDirectory.length > 0) return byDirectory;
  const places = new Set([wanted, path, path && realPath(path)]);
  return snapshots.filter(({ source }) => places.has(source.uri));
}

/** @throws BackupNotFoundError where there is none, naming the databases of which there are. */
export function mustBeOfSource(
  snapshots: readonly Snapshot[],
  wanted: string,
  reference: string,
): Snapshot[] {
  const mine = ofSource(snapshots, wanted);
  if (mine.length > 0) return mine;
  const others = snapshots.length === 0 ? "It is empty" : `It has ${sourcesInWords(snapshots)}`;
  throw new BackupNotFoundError(reference, `There is no snapshot of ${wanted} in the repository. ${others}.`);
}

/**
 * Holds snapshots among which one is to be chosen to those of one database: another's would be an answer to another
 * question.
 *
 * @param preferred an id: of several databases this one is meant.
 * @throws ValidationError naming the databases, where there are several.
 */
export function ofOneSource(
  candidates: readonly Snapshot[],
  reference: string,
  preferred: string | undefined,
): readonly Snapshot[] {
  const ids = new Set(candidates.map(({ source }) => source.id));
  if (ids.size <= 1) return candidates;
  const mine = candidates.filter(({ source }) => source.id === preferred);
  if (mine.length > 0) return mine;
  throw new ValidationError(
    `"${reference}" can be a snapshot of ${ids.size} databases: say of which with the option source, by its id or its directory. There are ${sourcesInWords(candidates)}.`,
  );
}

/** @param newestFirst any number of snapshots. */
function sourcesInWords(newestFirst: readonly Snapshot[]): string {
  const groups = [...Map.groupBy(newestFirst, ({ source }) => source.id)];
  const shown = groups
    .slice(0, MOST_SHOWN)
    .map(([id, [newest]]) => `${newest?.source.uri} (id ${id}; the newest is ${newest?.id})`);
  return shown.join(", ") + (groups.length > MOST_SHOWN ? `, and ${groups.length - MOST_SHOWN} more` : "");
}

/** Undefined where it is none: an id, an address of something else. */
function pathFrom(wanted: string): string | undefined {
  try {
    return localPath(wanted, "source");
  } catch (error) {
    if (error instanceof BackupError) return undefined;
    throw error;
  }
}

function idAt(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  const { id, origin } = identifyDatabase(path);
  return origin === "new" ? undefined : id;
}
