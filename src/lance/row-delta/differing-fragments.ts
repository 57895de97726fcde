import { fromBinary } from "@bufbuild/protobuf";
import { fragmentsBeside, hasTrueCounts, isLegacyFile, rowsOf } from "../fragment-files.ts";
import type { Manifest } from "../manifest.ts";
import { type DataFragment, DataFragmentSchema } from "../proto/lance_pb.ts";
import { sameDataFiles } from "../same-content.ts";

/** How the fragments of two versions of a table differ. Those that are in neither list are equal. */
export interface FragmentDiff {
  /** The same data files under another set of deletions: only the rows' addresses need comparing. */
  readonly deletions: readonly number[];
  /** Fragments that only the older version has. */
  readonly gone: readonly FragmentRows[];
  /** Fragments that only the newer version has. */
  readonly made: readonly FragmentRows[];
}

export interface FragmentRows {
  readonly id: number;
  /** Rows that are not deleted; undefined where the manifest does not say. */
  readonly rows: number | undefined;
  /** Offsets that its rows can have: those of deleted rows too. Infinity where the manifest does not say. */
  readonly offsets: number;
}

/** Rows one after the other in the order of a scan. */
export interface RowRange {
  readonly offset: number;
  readonly rows: number;
}

/**
 * Where the rows of some fragments lie in a scan of the version; neighbours make one range. Undefined where the
 * manifest does not say.
 */
export function rowRanges(manifest: Manifest, ids: ReadonlySet<number>): RowRange[] | undefined {
  const ranges: RowRange[] = [];
  let offset = 0;
  for (const encoded of manifest.message.fragments) {
    const { id, rows } = countsOf(fromBinary(DataFragmentSchema, encoded), manifest);
    if (rows === undefined) return undefined;
    const last = ranges.at(-1);
    if (ids.has(id)) {
      if (last !== undefined && last.offset + last.rows === offset) {
        ranges[ranges.length - 1] = { offset: last.offset, rows: last.rows + rows };
      } else ranges.push({ offset, rows });
    }
    offset += rows;
  }
  return ranges;
}

/** Compares two versions by what their manifests say; no file is read. */
export function diffFragments(older: Manifest, newer: Manifest): FragmentDiff {
  const gone = fragmentsBeside(older, newer);
  const deletions: number[] = [];
  const made: FragmentRows[] = [];
  for (const [id, { fragment, bytes }] of fragmentsBeside(newer, older)) {
    const old = gone.get(id);
    if (old === undefined || !sameDataFiles(old.bytes, bytes)) {
      made.push(countsOf(fragment, newer));
      continue;
    }
    gone.delete(id);
    if (deletionFile(old.fragment) !== deletionFile(fragment)) deletions.push(id);
  }
  return { deletions, gone: Array.from(gone.values(), ({ fragment }) => countsOf(fragment, older)), made };
}

/** Bytes of data files that one scan goes through. */
const SCAN_BYTES = 128 * 1024 * 1024;

/**
 * The fragments of a version, in groups to be scanned one after the other: LanceDB reads far ahead within a
 * scan, 700 MB for a table of 1.4 GB in 100 fragments, and half of that so.
 */
export function* scanGroups(manifest: Manifest): Generator<number[]> {
  let group: number[] = [];
  let bytes = 0;
  for (const encoded of manifest.message.fragments) {
    const { id, files } = fromBinary(DataFragmentSchema, encoded);
    group.push(Number(id));
    for (const file of files) bytes += Number(file.fileSizeBytes);
    if (bytes < SCAN_BYTES) continue;
    yield group;
    group = [];
    bytes = 0;
  }
  if (group.length > 0) yield group;
}

const legacy = new WeakMap<Manifest, boolean>();

/** Whether a version has data files of the format from before 2.0: LanceDB cannot take single rows from them. */
export function hasLegacyFiles(manifest: Manifest): boolean {
  let has = legacy.get(manifest);
  if (has === undefined) {
    has = manifest.message.fragments.some((bytes) =>
      fromBinary(DataFragmentSchema, bytes).files.some(isLegacyFile),
    );
    legacy.set(manifest, has);
  }
  return has;
}

function deletionFile({ deletionFile: file }: DataFragment): string {
  return file ? `${file.fileType}-${file.readVersion}-${file.id}` : "";
}

function countsOf(fragment: DataFragment, manifest: Manifest): FragmentRows {
  const id = Number(fragment.id);
  const rows = hasTrueCounts(manifest) ? rowsOf(fragment) : undefined;
  return { id, rows, offsets: rows === undefined ? Number.POSITIVE_INFINITY : Number(fragment.physicalRows) };
}
