import { type BackupError, CorruptError } from "../../errors.ts";
import type { SnapshotSource } from "../snapshot.ts";

/** What one check found. */
export interface VerificationResult {
  /** The snapshot's id; empty for the check `repository`. */
  readonly snapshot: string;
  /** Which database the snapshot is of; undefined where its document cannot be read. */
  readonly source?: SnapshotSource | undefined;
  /** `document`, `integrity`, `completeness`, `minBytes`, `repository`, `rolling`, or what a restore test calls its own. */
  readonly check: string;
  readonly ok: boolean;
  /** In words: what was looked at, or what is wrong, with table, file and blob. */
  readonly details: string;
  /** Where `ok` is false: what a restore would meet. */
  readonly error?: BackupError;
  /** Of `rolling`: for how long the blob was not read that was read longest ago; of one that never was, since it was written. */
  readonly oldestBlobSeconds?: number;
}

/** One thing that is wrong: what it says to a reader, and the path of the object. */
export interface Problem {
  readonly what: string;
  readonly path: string;
  /** Where it is not damage: the storage's own error. */
  readonly cause?: BackupError | undefined;
}

const MOST_SHOWN = 10;

/** A failed check; the first problems are named, the others counted. */
export function failed(
  snapshot: string,
  check: string,
  summary: string,
  problems: readonly Problem[],
): VerificationResult {
  const shown = problems.slice(0, MOST_SHOWN).map(({ what }) => what);
  const more = problems.length - shown.length;
  const details = `${summary}: ${shown.join("; ")}${more > 0 ? `; and ${more} more` : ""}.`;
  const [first] = problems;
  const error = first?.cause ?? new CorruptError(details, { path: first?.path });
  return { snapshot, check, ok: false, details, error };
}

export function passed(snapshot: string, check: string, details: string): VerificationResult {
  return { snapshot, check, ok: true, details };
}
