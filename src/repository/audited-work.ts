import type { AuditOperation } from "../engine/audit/audit-entry.ts";
import type { FoundLease } from "../engine/lease/lease-record.ts";
import type { VerificationResult } from "../engine/verify/result.ts";
import type { VerifyOptions } from "../engine/verify/verify-options.ts";
import type { RestoreReport } from "../sources/lancedb/restore/restore-report.ts";
import type { ScrubReport } from "../sources/lancedb/scrub/scrub-report.ts";
import type { TakenSnapshot } from "../sources/lancedb/snapshot-view.ts";
import type { Audited } from "./audit-trail.ts";
import type { CopyReport } from "./copy-between.ts";
import { placeShown } from "./events.ts";
import type { PruneReport } from "./prune-view.ts";
import type { RestorePartsReport } from "./restore-parts.ts";

// What the audit log says of each operation: in short, and without passwords.

/** A prune of more is told by the number. */
const MOST_IDS = 1000;

export function auditedBackup(asked: {
  readonly sources: readonly string[];
  readonly kind: string;
  readonly name?: string | undefined;
}): Audited<TakenSnapshot> {
  const { sources, kind, name: wanted } = asked;
  return {
    operation: "backup",
    // By the name it is known whose backup failed.
    details: { sources, kind, ...(wanted !== undefined && { name: wanted }) },
    told: ({ id, name, files, bytes, newBytes }) => ({
      snapshot: id,
      ...(name !== undefined && { name }),
      ...{ files, bytes, newBytes },
    }),
  };
}

/** Where the restore fails, `snapshot` is what was asked for: a name, or `latest`. */
export function auditedRestore(
  snapshot: string,
  targets: readonly string[],
): Audited<RestoreReport | RestorePartsReport> {
  return {
    operation: "restore",
    details: { snapshot, targets: targets.map(placeShown) },
    told: (report) => {
      const parts = "parts" in report ? report.parts : [report];
      const sum = (key: "files" | "bytes") => parts.reduce((total, part) => total + part[key], 0);
      return {
        snapshot: report.snapshot,
        mode: [...new Set(parts.map(({ mode }) => mode))].join(", "),
        ...{ files: sum("files"), bytes: sum("bytes") },
      };
    },
  };
}

export function auditedVerify(
  snapshot: string | undefined,
  options: VerifyOptions | undefined,
): Audited<readonly VerificationResult[]> {
  const isMoving = options?.quarantine === true;
  return {
    operation: isMoving ? "quarantine" : "verify",
    details: {
      ...(snapshot !== undefined && { snapshot: String(snapshot) }),
      ...(options?.restoreTest === true && { restoreTest: true }),
    },
    told: (results) => ({ checks: results.length, failed: results.filter(({ ok }) => !ok).length }),
  };
}

/** @param name whose snapshots alone are looked at, where not all are */
export function auditedPrune(force: boolean, name: string | undefined): Audited<PruneReport> {
  return {
    operation: "prune",
    details: { ...(name !== undefined && { name }), ...(force && { force }) },
    told: ({ dryRun, removed, freed }) => {
      if (dryRun) return undefined; // somebody must agree first
      const snapshots = removed.map(({ snapshot }) => snapshot.id);
      return { removed: removed.length, snapshots: snapshots.slice(0, MOST_IDS), freed };
    },
  };
}

/** In the log of the one repository that it goes to, and of the other that it comes from. @param other the other one */
export function auditedCopy(
  direction: "copy-to" | "copy-from",
  other: { readonly location: string; readonly id: string | undefined },
): Audited<CopyReport> {
  const { location, id } = other;
  const details = { repository: placeShown(location), ...(id !== undefined && { id }) };
  return {
    operation: direction,
    details,
    told: ({ copied, failed }) => {
      if (copied.length + failed.length === 0) return undefined; // all of it was there
      const snapshots = copied.slice(0, MOST_IDS).map(({ snapshot }) => snapshot.id);
      return { copied: copied.length, snapshots, failed: failed.length };
    },
  };
}

export function auditedScrub(uri: string): Audited<ScrubReport> {
  return {
    operation: "scrub",
    details: { source: placeShown(uri) },
    told: ({ snapshot, damage }) => ({ snapshot, mended: damage.filter(({ mended }) => mended).length }),
  };
}

export function auditedUnlock(): Audited<readonly FoundLease[]> {
  return {
    operation: "unlock",
    details: {},
    told: (leases) =>
      leases.length === 0 ? undefined : { leases: leases.map(({ name, holder }) => ({ name, holder })) },
  };
}

/** Of one snapshot, of which the result has the id. */
export function auditedSnapshot(operation: AuditOperation, asked: unknown): Audited<{ readonly id: string }> {
  return { operation, details: { snapshot: String(asked) }, told: ({ id }) => ({ snapshot: id }) };
}
