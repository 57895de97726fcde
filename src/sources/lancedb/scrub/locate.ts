import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isMissing } from "../../../fs/io.ts";
import { type ColumnStretch, readLayout } from "../../../lance/data-file-layout.ts";
import { allRowsOf, type FileOwner, findOwners } from "../../../lance/file-owners.ts";
import { highestOf } from "../../../util/extremes.ts";
import type { SnapshotFile } from "../snapshot-view.ts";
import { readFile } from "./blob-bytes.ts";
import type { Stretch } from "./difference.ts";
import { tryParse } from "./judge-manifest.ts";
import type { LiveTable, TablePlace } from "./live-table.ts";
import type { RowRange } from "./scrub-report.ts";

/** Whose a file is, by the newest version that needs it. */
export interface LocatedFile extends FileOwner {
  readonly version: number;
}

/** Finds out for files of one table what they hold, from its versions, newest first. */
export async function locateFiles(
  place: TablePlace,
  live: LiveTable,
  paths: Iterable<string>,
): Promise<ReadonlyMap<string, LocatedFile>> {
  const rest = new Set(paths);
  const located = new Map<string, LocatedFile>();
  for (const { version, path, from } of live.versions) {
    if (rest.size === 0) break;
    const bytes = from === "live" ? readLive(join(place.dataset, path)) : await snapshotBytes(place, path);
    const manifest = bytes && tryParse(bytes, version, path);
    if (!manifest) continue;
    for (const [file, owner] of findOwners(manifest, rest)) {
      located.set(file, { ...owner, version });
      rest.delete(file);
    }
  }
  return located;
}

async function snapshotBytes({ id, blobs, known }: TablePlace, path: string): Promise<Buffer | undefined> {
  const file = known.get(path);
  const bytes = file && (await readFile(blobs, { table: id, ...file }));
  return typeof bytes === "string" ? undefined : bytes;
}

function readLive(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Columns and rows that bytes of a file hold. */
export interface Contents {
  readonly columns: readonly string[];
  readonly rows: readonly RowRange[];
}

/**
 * What can be wrong where a file differs: of a data file the columns and rows whose pages are hit; all that it holds
 * where anything but a page is hit, or its format is not known.
 */
export async function contentsOf(
  { id, blobs }: TablePlace,
  known: SnapshotFile,
  owner: FileOwner,
  stretches: readonly Stretch[],
): Promise<Contents> {
  const { fragment, byNumber, columns } = owner;
  const all = { columns, rows: allRowsOf(fragment) };
  const end = fragment?.rows;
  if (!fragment || end === undefined || !byNumber) return all;
  const layout = await readLayout(known.size, (offset, length) =>
    blobs.readStretch({ table: id, ...known }, offset, length),
  );
  const hits = layout && hitBy(stretches, layout);
  if (!hits) return all;
  const names = new Set(
    hits.flatMap(({ column }) => byNumber.get(column) ?? [`column ${column} of the file`]),
  );
  const ranges = hits.map(({ firstRow, endRow = end }) => ({ first: firstRow, last: endRow - 1 }));
  return { columns: [...names], rows: merged(ranges).map((range) => ({ fragment: fragment.id, ...range })) };
}

/** The stretches of columns that are hit; undefined where bytes of none are. */
function hitBy(stretches: readonly Stretch[], layout: readonly ColumnStretch[]): ColumnStretch[] | undefined {
  const hits = new Set<ColumnStretch>();
  // Between the buffers lies padding, which nothing reads; behind the last one what the file says of itself.
  const ends = layout.map((one) => one.end);
  const last = highestOf(0, ends);
  for (const { start, end } of stretches) {
    const found = layout.filter((one) => one.start < end && start < one.end);
    const inside = found.some((one) => one.start <= start && end <= one.end);
    if (!inside && end > last) return undefined;
    for (const one of found) hits.add(one);
  }
  return [...hits];
}

function merged(ranges: readonly { first: number; last: number }[]): { first: number; last: number }[] {
  const result: { first: number; last: number }[] = [];
  for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
    const before = result.at(-1);
    if (before && range.first <= before.last + 1) before.last = Math.max(before.last, range.last);
    else result.push({ ...range });
  }
  return result;
}
