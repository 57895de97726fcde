import type { PruneReport, Snapshot, SnapshotDetails, VerificationResult } from "../../repository/index.ts";

/** Everything that the page shows. */
export interface ReportData {
  readonly location: string;
  readonly madeAt: Date;
  /** The newest first. */
  readonly snapshots: readonly Snapshot[];
  /** The newest snapshot of each database, with its versions. */
  readonly newest: readonly SnapshotDetails[];
  /** What the repository's blobs take; undefined where they are not in a local directory. */
  readonly stored: { readonly blobs: number; readonly bytes: number } | undefined;
  readonly retention: {
    readonly rules: string;
    readonly plan: Pick<PruneReport, "kept" | "removed" | "timeZone">;
  };
  readonly verification: {
    /** In words: what was read. */
    readonly kind: string;
    readonly results: readonly VerificationResult[];
  };
}
