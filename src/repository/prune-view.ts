import type { PruneReport as StoredReport } from "../engine/prune/prune-report.ts";
import type { KeptSnapshot as Kept, RemovedSnapshot as Removed } from "../engine/retention/plan-retention.ts";
import { type Snapshot, viewOf } from "../sources/lancedb/snapshot-view.ts";

// What a prune did, with snapshots as users see them.

export type KeptSnapshot = Kept<Snapshot>;
export type RemovedSnapshot = Removed<Snapshot>;
export type PruneReport = StoredReport<Snapshot>;

export function pruneView(report: StoredReport): PruneReport {
  return {
    ...report,
    kept: report.kept.map((kept) => ({ ...kept, snapshot: viewOf(kept.snapshot) })),
    removed: report.removed.map((removed) => ({ ...removed, snapshot: viewOf(removed.snapshot) })),
  };
}
