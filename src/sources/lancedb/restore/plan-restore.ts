import type { BlobStore } from "../../../engine/blobs/blob-store.ts";
import { assertSpace } from "../../../engine/restore/assert-space.ts";
import { assertBlobs } from "../../../engine/restore/check-blobs.ts";
import { type LandingPlace, lookAtTarget } from "../../../lance/landing.ts";
import type { LanceDB } from "../../../lance/which-lancedb.ts";
import type { SnapshotContent, SnapshotSource } from "../snapshot-view.ts";
import { assertDatabase, planInPlace, type TableInPlace } from "./in-place/plan-in-place.ts";
import { checkRestoreOptions, type LeftOut, type RestoreOptions } from "./restore-options.ts";
import { type SelectedTable, select, underOtherNames } from "./select.ts";

/** What a restore will do: a plain value, made without writing anything. */
export type RestorePlan = NewPlan | InPlacePlan;

interface PlanBase {
  /** The snapshot's id. */
  readonly snapshot: string;
  /** Which database it is of. */
  readonly source: SnapshotSource;
  /** Absolute. */
  readonly target: string;
  readonly tables: readonly SelectedTable[];
  readonly files: number;
  readonly bytes: number;
  readonly leftOut: readonly LeftOut[];
}

export interface NewPlan extends PlanBase {
  readonly mode: "new";
  readonly place: LandingPlace;
}

export interface InPlacePlan extends PlanBase {
  readonly mode: "in-place";
  /** In the order of `tables`. */
  readonly inPlace: readonly TableInPlace[];
  /** Ids of tables that the database has and the snapshot has not. */
  readonly leftAlone: readonly string[];
}

/**
 * Checks everything that can be checked before anything is written: options, target, that every blob needed is there
 * in its size, and that there is room.
 *
 * @throws ValidationError, UnsupportedError, TypeError for bad options, and a target that cannot be restored into.
 * @throws CorruptError naming file and blob where one is missing or has another size.
 * @throws IoError (`ENOSPC`) naming both numbers where the file system has not the room.
 */
export function planRestore(
  { blobs, lancedb }: { readonly blobs: BlobStore; readonly lancedb: LanceDB },
  content: SnapshotContent,
  options: RestoreOptions,
): Promise<RestorePlan> {
  return options.mode === "in-place"
    ? planOver(lancedb, blobs, content, options)
    : planNew(blobs, content, options);
}

export async function planNew(
  blobs: BlobStore,
  content: SnapshotContent,
  options: RestoreOptions,
): Promise<NewPlan> {
  const target = checkRestoreOptions(options, blobs);
  const { link = false } = options;
  const place = lookAtTarget(target, link ? blobs.local?.root : undefined);
  const base = await planFiles(blobs, content, options, target);
  if (!link) assertSpace(place.near, base.tables);
  return { ...base, mode: "new", place };
}

async function planOver(
  lancedb: LanceDB,
  blobs: BlobStore,
  content: SnapshotContent,
  options: RestoreOptions,
): Promise<InPlacePlan> {
  const target = checkRestoreOptions(options, blobs);
  assertDatabase(target);
  const base = await planFiles(blobs, content, options, target);
  const inPlace = await planInPlace(lancedb, target, content.snapshot, base.tables);
  assertSpace(target, inPlace.toCopy);
  return { ...base, mode: "in-place", inPlace: inPlace.tables, leftAlone: inPlace.leftAlone };
}

async function planFiles(
  blobs: BlobStore,
  content: SnapshotContent,
  options: RestoreOptions,
  target: string,
): Promise<PlanBase> {
  const { tables: chosen, leftOut } = await select(blobs, content, options, options.signal);
  const tables = underOtherNames(chosen, options.as);
  await assertBlobs(blobs, tables, options.signal);
  return {
    snapshot: content.snapshot.id,
    source: content.snapshot.source,
    target,
    tables,
    files: tables.reduce((sum, table) => sum + table.files.length, 0),
    bytes: tables.reduce((sum, table) => sum + table.bytes, 0),
    leftOut,
  };
}
