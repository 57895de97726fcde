import { assertFlag, assertKnown, assertMilliseconds, assertSignal } from "../checks.ts";
import { assertFilter, type SnapshotFilter } from "../engine/catalog/filter.ts";
import type { CopyReport as StoredReport } from "../engine/copy/copy-report.ts";
import { type CopyRequest, copySnapshots } from "../engine/copy/copy-snapshots.ts";
import type { CopyPlace } from "../engine/copy/plan-copy.ts";
import type { OnProgress } from "../engine/progress.ts";
import { ValidationError } from "../errors.ts";
import { advice } from "../hint.ts";
import type { Logger } from "../logger.ts";
import { type Snapshot, viewOf } from "../sources/lancedb/snapshot-view.ts";

/** Which snapshots are copied: those that fit in everything that is given. Default: all. */
export interface CopyOptions extends SnapshotFilter {
  /**
   * Take along what was said of snapshots after they were taken: what is pinned here is pinned there, and what has a tag here has it
   * there, also of snapshots that are there already. Nothing is taken away there. Default false.
   */
  readonly labels?: boolean | undefined;
  /** Say what would be copied, and write nothing. Default false. */
  readonly dryRun?: boolean | undefined;
  /** How long to wait for a prune to end, here and there, in milliseconds. Default 30,000. */
  readonly lockTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

export type CopyReport = StoredReport<Snapshot>;

/** @throws ValidationError, TypeError. Nothing has been touched. */
function copyRequestOf(options: CopyOptions): CopyRequest {
  assertKnown(options, "copy", {
    ...{ name: true, source: true, tags: true, before: true, after: true },
    ...{ labels: true, dryRun: true, lockTimeoutMs: true, signal: true, onProgress: true },
  });
  const { labels, dryRun, lockTimeoutMs, signal, onProgress, ...filter } = options;
  assertFilter(filter);
  assertFlag(labels, "labels");
  assertFlag(dryRun, "dryRun");
  assertMilliseconds(lockTimeoutMs, "lockTimeoutMs");
  assertSignal(signal);
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw new TypeError("onProgress must be a function.");
  }
  return { filter, labels, dryRun, lockTimeoutMs, signal, onProgress };
}

/** A repository as a copy sees it. */
export interface IdentifiedPlace extends CopyPlace {
  readonly location: string;
  readonly id: string | undefined;
}

/** Copies as `Repository.copy` says. */
export async function copyBetween(
  from: IdentifiedPlace,
  to: IdentifiedPlace,
  options: CopyOptions,
  logger: Logger,
): Promise<CopyReport> {
  const request = copyRequestOf(options);
  assertOther(from, to);
  const report = await copySnapshots({ from, to, logger }, request);
  const { dryRun, copied, present, failed, durationMs: ms } = report;
  logger.info(dryRun ? "copy planned" : "snapshots copied", {
    ...{ from: from.location, to: to.location, ms },
    ...{ copied: copied.length, present: present.length, failed: failed.length },
  });
  return { ...report, copied: copied.map((one) => ({ ...one, snapshot: viewOf(one.snapshot) })) };
}

/** @throws ValidationError where both are one repository, or one is a copy of the other's files. */
function assertOther(from: IdentifiedPlace, to: IdentifiedPlace): void {
  if (from.location !== to.location && (from.id === undefined || from.id !== to.id)) return;
  const which = from.id === undefined ? "" : ` (id ${from.id})`;
  throw new ValidationError(
    advice`${from.location} and ${to.location} are the same repository${which}. ${{ call: "init" }} makes another one to copy to.`,
  );
}
