import { BackupNotFoundError, ValidationError } from "../../errors.ts";
import { advice } from "../../hint.ts";
import type { StoredSnapshot } from "../snapshot.ts";

/** As many databases are named in a message. */
const MOST_SHOWN = 10;

/** What is known of a place that a user names. */
export interface NamedPlace {
  /** The id of the source that is there now. */
  readonly id?: string | undefined;
  /** The same place, as snapshots may have written it. */
  readonly uris: readonly string[];
}

export type IdentifyPlace = (wanted: string) => NamedPlace;

export const unknownPlace: IdentifyPlace = () => ({ uris: [] });

type Sourced = Pick<StoredSnapshot, "id" | "parts">;

/**
 * The snapshots that have a part of one source.
 *
 * @param wanted its id; its place as it is now, wherever it was when they were taken; or else where it was then.
 */
export function ofSource<T extends Sourced>(
  snapshots: readonly T[],
  wanted: string,
  identify: IdentifyPlace,
): T[] {
  const having = (test: (source: T["parts"][number]["source"]) => boolean) =>
    snapshots.filter(({ parts }) => parts.some(({ source }) => test(source)));
  const byId = having(({ id }) => id === wanted);
  if (byId.length > 0) return byId;
  const { id, uris } = identify(wanted);
  const byPlace = id === undefined ? [] : having((source) => source.id === id);
  if (byPlace.length > 0) return byPlace;
  const places = new Set([wanted, ...uris]);
  return having(({ uri }) => places.has(uri));
}

/** Whether two snapshots have a part of one source. */
export function shareSource(a: Sourced, b: Sourced): boolean {
  const ids = new Set(a.parts.map(({ source }) => source.id));
  return b.parts.some(({ source }) => ids.has(source.id));
}

/** @throws BackupNotFoundError where there is none, naming the databases of which there are. */
export function mustBeOfSource(
  snapshots: readonly StoredSnapshot[],
  wanted: string,
  reference: string,
  identify: IdentifyPlace,
): StoredSnapshot[] {
  const mine = ofSource(snapshots, wanted, identify);
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
  candidates: readonly StoredSnapshot[],
  reference: string,
  preferred: string | undefined,
): readonly StoredSnapshot[] {
  const [newest] = candidates;
  if (!newest || candidates.every((one) => shareSource(one, newest))) return candidates;
  const mine = candidates.filter(({ parts }) => parts.some(({ source }) => source.id === preferred));
  if (mine.length > 0) return mine;
  const ids = new Set(candidates.map(mainSource).map(({ id }) => id));
  throw new ValidationError(
    advice`"${reference}" can be a snapshot of ${ids.size} databases: say of which ${{ options: { source: null } }}, by its id or its directory. There are ${sourcesInWords(candidates)}.`,
  );
}

/** @param newestFirst any number of snapshots. */
function sourcesInWords(newestFirst: readonly StoredSnapshot[]): string {
  const groups = [...Map.groupBy(newestFirst, (snapshot) => mainSource(snapshot).id)];
  const shown = groups
    .slice(0, MOST_SHOWN)
    .map(([id, [newest]]) => `${newest && mainSource(newest).uri} (id ${id}; the newest is ${newest?.id})`);
  return shown.join(", ") + (groups.length > MOST_SHOWN ? `, and ${groups.length - MOST_SHOWN} more` : "");
}

function mainSource({ parts }: Sourced): { readonly id: string; readonly uri: string } {
  return parts[0]?.source ?? { id: "", uri: "" };
}
