import type { BlobStore } from "../engine/blobs/blob-store.ts";
import type { LanceDB } from "../lance/which-lancedb.ts";
import type { Logger } from "../logger.ts";
import type { LanceCatalog } from "../sources/lancedb/lance-catalog.ts";
import type { RestoreOptions } from "../sources/lancedb/restore/options.ts";
import type { RestoreReport } from "../sources/lancedb/restore/report.ts";
import type { RestorePartsOptions, RestorePartsReport } from "./restore-parts.ts";
import { inPlaceId, otherParts, selectContent } from "./select-content.ts";

export interface RestorePlace {
  readonly blobs: BlobStore;
  readonly catalog: LanceCatalog;
  readonly logger: Logger;
  readonly lancedb: LanceDB;
}

/** Restores as `Repository.restore` says, and tells the log of each part. */
export async function restoreSnapshot(
  place: RestorePlace,
  id: string,
  options: RestoreOptions | RestorePartsOptions,
): Promise<RestoreReport | RestorePartsReport> {
  if (options && "targets" in options) {
    const report = await restoreParts(place, id, options);
    for (const part of report.parts) tellRestored(place.logger, part);
    return report;
  }
  const report = await restoreDatabase(place, id, options, true);
  tellRestored(place.logger, report);
  return report;
}

/** Where to, as the caller said it; the options need not have been checked. */
export function targetsOf(options: RestoreOptions | RestorePartsOptions): readonly string[] {
  const { target, targets } = (options ?? {}) as Partial<RestoreOptions & RestorePartsOptions>;
  if (!Array.isArray(targets)) return [String(target)];
  return targets.map((one: unknown) =>
    String(typeof one === "object" && one !== null && "target" in one ? one.target : one),
  );
}

async function restoreParts(
  place: RestorePlace,
  id: string,
  options: RestorePartsOptions,
): Promise<RestorePartsReport> {
  const { restoreParts: restore } = await import("./restore-parts.ts");
  const exact = await place.catalog.resolve(id, { signal: options.signal });
  const content = await place.catalog.stored.content(exact, options.signal);
  return restore(place.blobs, content, options, (source, database) =>
    restoreDatabase(place, exact, { ...database, source }, false),
  );
}

/** @param asOnly whether no other part of the snapshot is restored. */
async function restoreDatabase(
  place: RestorePlace,
  id: string,
  options: RestoreOptions,
  asOnly: boolean,
): Promise<RestoreReport> {
  const { restore } = await import("../sources/lancedb/restore/restore.ts");
  const { blobs, logger, lancedb } = place;
  const { content, leftOut } = await selectContent(place, id, options, inPlaceId(options));
  const others = asOnly ? otherParts(content) : [];
  return restore({ blobs, logger, lancedb, leftOut: [...leftOut, ...others] }, content, options);
}

function tellRestored(logger: Logger, report: RestoreReport): void {
  logger.info(report.dryRun ? "restore planned" : "snapshot restored", {
    snapshot: report.snapshot,
    source: report.source.uri,
    target: report.target,
    mode: report.mode,
    files: report.files,
    bytes: report.bytes,
    ms: report.durationMs,
  });
}
