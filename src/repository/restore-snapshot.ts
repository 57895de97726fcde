import { assertSignal } from "../checks.ts";
import type { BlobStore } from "../engine/blobs/blob-store.ts";
import type { StoredContent } from "../engine/snapshot.ts";
import type { LanceDB } from "../lance/which-lancedb.ts";
import type { Logger } from "../logger.ts";
import { chooserOf, type LanceCatalog } from "../sources/lancedb/lance-catalog.ts";
import { LANCEDB_KIND } from "../sources/lancedb/lancedb-part.ts";
import { type RestoreOptions, withNamedTables } from "../sources/lancedb/restore/restore-options.ts";
import type { RestoreReport } from "../sources/lancedb/restore/restore-report.ts";
import { contentView } from "../sources/lancedb/snapshot-view.ts";
import { withoutPassword } from "../util/without-password.ts";
import {
  type PartOptions,
  type RestorePartsOptions,
  type RestorePartsReport,
  restoreParts,
} from "./restore-parts.ts";
import { type ChosenContent, inPlaceId, otherParts, selectContent } from "./select-content.ts";

export interface RestorePlace {
  readonly blobs: BlobStore;
  readonly logger: Logger;
  readonly lancedb: LanceDB;
  readonly catalog: LanceCatalog;
}

/** Restores as `Repository.restore` says, and tells the log of each part. */
export async function restoreSnapshot(
  place: RestorePlace,
  id: string,
  options: (RestoreOptions & PartOptions) | RestorePartsOptions,
): Promise<RestoreReport | RestorePartsReport> {
  const report = await restore(place, id, withNamedTables(options));
  for (const part of "parts" in report ? report.parts : [report]) tellRestored(place.logger, part);
  return report;
}

/** Where to, as the caller said it; the options need not have been checked. */
export function targetsOf(options: RestoreOptions | RestorePartsOptions): readonly string[] {
  const { target, targets } = (options ?? {}) as Partial<RestoreOptions & RestorePartsOptions>;
  if (!Array.isArray(targets)) return [withoutPassword(String(target))];
  return targets.map((one: unknown) =>
    withoutPassword(String(typeof one === "object" && one !== null && "target" in one ? one.target : one)),
  );
}

async function restore(
  place: RestorePlace,
  id: string,
  options: (RestoreOptions & PartOptions) | RestorePartsOptions,
): Promise<RestoreReport | RestorePartsReport> {
  const { catalog } = place;
  if (options && "targets" in options) {
    const exact = await catalog.resolve(id, { signal: options.signal });
    return restoreTargets(place, await catalog.stored.content(exact, options.signal), options);
  }
  const { source, at, signal } = options ?? {};
  assertSignal(signal);
  if (at !== undefined)
    return restoreDatabase(place, await selectContent(place, id, options, inPlaceId(options)), options);
  const wanted = { source, preferredSource: inPlaceId(options), signal };
  const stored = await catalog.stored.find(id, wanted);
  const [part, ...others] = stored.parts;
  if (part && others.length === 0 && part.source.type !== LANCEDB_KIND.type) {
    const { target, source: _, ...rest } = options;
    const report = await restoreTargets(place, stored, {
      ...rest,
      targets: [{ part: part.source.id, target }],
    });
    return report.parts[0] ?? report;
  }
  return restoreDatabase(place, { content: contentView(stored, chooserOf(wanted)), leftOut: [] }, options);
}

function restoreTargets(
  place: RestorePlace,
  stored: StoredContent,
  options: RestorePartsOptions,
): Promise<RestorePartsReport> {
  return restoreParts(place, stored, options, async (source, ofDatabase) => {
    const settings = { ...ofDatabase, source };
    const chosen = await selectContent(place, stored.snapshot.id, settings, inPlaceId(settings));
    return restoreDatabase(place, chosen, settings, "with-others");
  });
}

async function restoreDatabase(
  place: RestorePlace,
  { content, leftOut }: ChosenContent,
  options: RestoreOptions,
  how: "alone" | "with-others" = "alone",
): Promise<RestoreReport> {
  const { restore: restoreTables } = await import("../sources/lancedb/restore/restore-database.ts");
  const others = how === "alone" ? otherParts(content) : [];
  return restoreTables({ ...place, leftOut: [...leftOut, ...others] }, content, options);
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
