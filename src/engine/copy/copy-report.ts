import type { BackupError } from "../../errors.ts";
import type { StoredSnapshot } from "../snapshot.ts";

/** A snapshot that was copied; in a dry run one that would be. */
export interface CopiedSnapshot<S = StoredSnapshot> {
  /** As the source has it. */
  readonly snapshot: S;
  /** Bytes of the objects that were written to the target for it; 0 in a dry run. */
  readonly storedBytes: number;
}

/** A snapshot that is not in the target, and why. */
export interface FailedCopy {
  readonly snapshot: string;
  /** `CorruptError`, naming file, blob and snapshot; or what else the snapshot could not be read for. */
  readonly error: BackupError;
}

/** What a copy did, or in a dry run what it would do. */
export interface CopyReport<S = StoredSnapshot> {
  readonly dryRun: boolean;
  /** The oldest first. */
  readonly copied: readonly CopiedSnapshot<S>[];
  /** Ids of those that the target had already. */
  readonly present: readonly string[];
  /** Those that are damaged or cannot be read. The others were copied all the same. */
  readonly failed: readonly FailedCopy[];
  /** Ids of those whose pin or tags the target did not have, and has now; absent where labels were not asked for. */
  readonly labelled?: readonly string[] | undefined;
  readonly durationMs: number;
}
