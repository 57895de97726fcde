import { type PruneOptions, prune } from "../engine/prune/prune-snapshots.ts";
import type { OpenedRepository } from "./opened-repository.ts";
import { type PruneReport, pruneView } from "./prune-view.ts";

/** Prunes as `Repository.prune` says; of the audit log what is older than `keepAuditDays`, and never anything without that. */
export async function pruneRepository(at: OpenedRepository, policy: PruneOptions): Promise<PruneReport> {
  const { storage, logger, blobs } = at;
  if (!policy?.dryRun) at.assertMarked();
  const place = { storage, logger, documents: blobs.documents };
  return at.inPlace(
    async () => {
      const report = pruneView(await prune(place, policy));
      const { keepAuditDays, signal } = policy;
      if (keepAuditDays === undefined || report.dryRun) return report;
      const { forgetEntries } = await import("../engine/audit/forget-entries.ts");
      const { documents } = await blobs.renewed();
      const removed = await forgetEntries({ ...place, documents }, at.trail.action(), keepAuditDays, signal);
      return { ...report, auditEntriesRemoved: removed };
    },
    { writes: true },
  );
}
