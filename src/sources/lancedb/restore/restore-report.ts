import type { SnapshotSource } from "../snapshot-view.ts";
import type { RestorePlan } from "./plan-restore.ts";
import type { LeftOut, RestoredTable } from "./restore-options.ts";

/** What a restore did, or with `dryRun` would do. */
export interface RestoreReport {
  /** The snapshot's id. */
  readonly snapshot: string;
  /** Which database it is of. */
  readonly source: SnapshotSource;
  /** Absolute. */
  readonly target: string;
  readonly mode: "new" | "in-place";
  readonly dryRun: boolean;
  readonly tables: readonly RestoredTable[];
  /** Files and bytes of the tables. */
  readonly files: number;
  readonly bytes: number;
  /** What is not restored, with the reason. */
  readonly leftOut: readonly LeftOut[];
  /** In place: tables that the database has and the snapshot has not. They are as they were. */
  readonly leftAlone: readonly string[];
  readonly durationMs: number;
}

/** What a plan says of itself. */
export function reportOf(plan: RestorePlan, started: number): RestoreReport {
  const { snapshot, source, target, mode, files, bytes, leftOut } = plan;
  const tables = plan.tables.map((table, index): RestoredTable => {
    const { id, original, directory, version, rows, bytes } = table;
    const named = original === undefined ? { id } : { id, original };
    const base = { ...named, directory, restoredVersion: version, rows, files: table.files.length, bytes };
    if (plan.mode === "new") return { ...base, action: "create", version, passedOver: [] };
    const there = plan.inPlace[index];
    return {
      ...base,
      directory: there?.directory ?? directory,
      action: there?.action ?? "rebuild",
      version: there?.action === "keep" ? there.newest : undefined,
      passedOver: there?.passedOver ?? [],
    };
  });
  return {
    ...{ snapshot, source, target, mode, dryRun: true, tables, files, bytes, leftOut },
    leftAlone: plan.mode === "in-place" ? plan.leftAlone : [],
    durationMs: Math.round(performance.now() - started),
  };
}
