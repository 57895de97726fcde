import type { FileChanges, PartDiff } from "../../../engine/diff-parts.ts";
import type { SnapshotSource } from "../snapshot-view.ts";

export type { FileChanges, PartDiff } from "../../../engine/diff-parts.ts";

export interface DiffOptions {
  /**
   * Also compare rows, told apart by these key columns: one column for all tables, or the columns for each table by its
   * id. Tables that are not named, or do not have the column, are not compared by rows.
   */
  rows?: string | Readonly<Record<string, string | readonly string[]>> | undefined;
  /** How many keys to give of each kind of change. Default 10. */
  examples?: number | undefined;
  /** Of which database both snapshots are to be, by its id or its directory. */
  source?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** A table in one of the two snapshots. */
export interface TableSide {
  readonly version: number;
  readonly versionCount: number;
  readonly rows: number;
  readonly files: number;
  readonly bytes: number;
}

/** The values of a row's key columns. */
export type RowKey = Readonly<Record<string, unknown>>;

export type RowChanges =
  | {
      readonly comparable: true;
      readonly added: number;
      readonly removed: number;
      /** Rows of which any other column has another value, among the columns that both have. */
      readonly changed: number;
      /** The first that were met. None for whole tables. */
      readonly examples: {
        readonly added: readonly RowKey[];
        readonly removed: readonly RowKey[];
        readonly changed: readonly RowKey[];
      };
    }
  | { readonly comparable: false; readonly why: string };

export interface TableDiff {
  readonly id: string;
  readonly change: "added" | "removed" | "changed" | "unchanged";
  readonly from?: TableSide | undefined;
  readonly to?: TableSide | undefined;
  /** Numbers of versions that only one of the two has. One made anew under the same number is in both lists. */
  readonly versions: { readonly added: readonly number[]; readonly removed: readonly number[] };
  readonly files: FileChanges;
  /** Where the option `rows` asks for it. */
  readonly rows?: RowChanges | undefined;
}

export interface SnapshotDiff {
  /** Ids of the snapshots. */
  readonly from: string;
  readonly to: string;
  /** Which databases they are of. */
  readonly fromSource: SnapshotSource;
  readonly toSource: SnapshotSource;
  /** Of both, by their sources. */
  readonly parts: readonly PartDiff[];
  /** Of both, by id. Empty where a snapshot has several LanceDB databases and none is named by `source`. */
  readonly tables: readonly TableDiff[];
  /** Of all tables together. */
  readonly files: FileChanges;
}
