import { BackupNotFoundError, ValidationError } from "../../errors.ts";
import type { Snapshot } from "../snapshot.ts";
import type { DamagedSnapshot } from "./catalog.ts";

const SHOWN = 10;
/** `20261105T123456Z` of an id. */
const SECOND_LETTERS = 16;

/** The second of a snapshot's time, as its id tells it. */
export function secondOf(id: string): string {
  return id.slice(0, SECOND_LETTERS);
}

/**
 * The id of the snapshot that is meant by `latest`, a name, or the beginning of an id.
 *
 * @param found the snapshots with the newest first.
 * @throws BackupNotFoundError, ValidationError; the damaged snapshot's error where it may be the latest.
 */
export function chooseSnapshot(
  reference: string,
  found: { readonly snapshots: readonly Snapshot[]; readonly damaged: readonly DamagedSnapshot[] },
): string {
  const { snapshots, damaged } = found;
  if (reference === "latest") {
    const [newest] = snapshots;
    // An older one in its place would be a silent loss of what is newer.
    for (const { id, error } of damaged) if (!newest || secondOf(id) >= secondOf(newest.id)) throw error;
    if (!newest) throw new BackupNotFoundError(reference, "There is no snapshot in the repository.");
    return newest.id;
  }
  const named = snapshots.find((snapshot) => snapshot.name === reference);
  if (named) return named.id;
  const ids = [...snapshots, ...damaged].map(({ id }) => id).filter((id) => id.startsWith(reference));
  const [only, ...others] = reference === "" ? [] : ids.sort();
  if (only === undefined) {
    throw new BackupNotFoundError(reference, `No snapshot has the id or the name "${reference}".`);
  }
  if (others.length > 0) {
    const shown = ids.slice(0, SHOWN).join(", ") + (ids.length > SHOWN ? ", …" : "");
    throw new ValidationError(`The ids of ${ids.length} snapshots begin with "${reference}": ${shown}.`);
  }
  return only;
}
