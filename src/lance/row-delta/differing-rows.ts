import type { RecordBatch } from "apache-arrow";
import { DigestTable } from "../../arrow/digest-table.ts";
import { ADDRESS, AddressSet, addressesOf } from "./addresses.ts";
import { contentDigests, ROW_ID } from "./blob-digests.ts";
import type { FragmentDiff, FragmentRows } from "./differing-fragments.ts";
import { addressesIn, collectAddresses, type OpenVersion, rowsAt, scanFragments } from "./scan-rows.ts";

/** Two versions of a table with the same columns. */
export interface TwoVersions {
  readonly older: OpenVersion;
  readonly newer: OpenVersion;
  readonly columns: readonly string[];
  /** Of `columns`, those that keep blobs: their bytes are compared, not where they lie. Default: none. */
  readonly blobs?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Rows by their addresses: what the newer version has and the older has not, and the other way round. */
export interface RowDiff {
  readonly made: AddressSet;
  readonly gone: AddressSet;
  /** Whether `gone` stands for more rows than it names: some of them are equal in all columns. */
  readonly goneTwice: boolean;
}

/**
 * Finds the rows that differ, as multisets: a row that only moved is in neither answer. Reads what the
 * fragments' difference leaves open, and nothing else. Memory: 44 bytes a row of the fragments that only the
 * older version has.
 */
export async function diffRows(versions: TwoVersions, fragments: FragmentDiff): Promise<RowDiff> {
  const touched = await compareDeletions(versions, fragments.deletions);
  const before = new Candidates(versions.older, versions, fragments.gone, touched.gone);
  const after = new Candidates(versions.newer, versions, fragments.made, touched.made);
  if (before.isEmpty) return { made: await after.addresses(), gone: new AddressSet(), goneTwice: false };
  if (after.isEmpty && fragments.gone.length === 0) {
    return { made: new AddressSet(), gone: touched.gone, goneTwice: false };
  }
  const digests = new DigestTable(before.expected);
  for await (const batch of before.read()) {
    const digest = await before.digests(batch);
    eachRow(batch, digest, (row, fragment, offset) => digests.add(row, fragment, offset));
  }
  const made = new AddressSet();
  for await (const batch of after.read()) {
    const digest = await after.digests(batch);
    eachRow(batch, digest, (row, fragment, offset) => {
      if (!digests.take(row)) made.add(fragment, offset);
    });
  }
  const gone = new AddressSet();
  let goneTwice = false;
  for (const { fragment, offset, count } of digests.leftovers()) {
    gone.add(fragment, offset);
    goneTwice ||= count > 1;
  }
  return { made, gone, goneTwice };
}

function eachRow(
  batch: RecordBatch,
  digest: (index: number) => Uint8Array,
  use: (digest: Uint8Array, fragment: number, offset: number) => void,
): void {
  const places = addressesOf(batch);
  for (let row = 0; row < batch.numRows; row++) {
    use(digest(row), places[row * 2 + 1] ?? 0, places[row * 2] ?? 0);
  }
}

/**
 * Fragments of so few rows are asked for by their addresses, those of deleted rows too, which answer nothing:
 * a range of addresses costs a look at all of the table's, 15 ms for 3.4 million.
 */
const MOST_OFFSETS = 1000;

/** Rows of one version that may differ: whole fragments, and single rows of others. */
class Candidates {
  readonly #version: OpenVersion;
  readonly #versions: TwoVersions;
  readonly #fragments: readonly number[];
  readonly #single: AddressSet;
  /** Whether there are surely none. */
  readonly isEmpty: boolean;
  /** How many are sure to come. */
  readonly expected: number;

  constructor(
    version: OpenVersion,
    versions: TwoVersions,
    fragments: readonly FragmentRows[],
    single: AddressSet,
  ) {
    this.#version = version;
    this.#versions = versions;
    this.#fragments = fragments.filter(({ offsets }) => offsets > MOST_OFFSETS).map(({ id }) => id);
    this.#single = new AddressSet();
    for (const [fragment, offset] of single) this.#single.add(fragment, offset);
    for (const { id, offsets } of fragments) {
      if (offsets > MOST_OFFSETS) continue;
      for (let offset = 0; offset < offsets; offset++) this.#single.add(id, offset);
    }
    this.isEmpty = single.size === 0 && fragments.every(({ rows }) => rows === 0);
    this.expected = fragments.reduce((sum, { rows = 0 }) => sum + rows, single.size);
  }

  read(): AsyncGenerator<RecordBatch> {
    const { columns, blobs = [] } = this.#versions;
    return this.#read([...columns, ADDRESS, ...(blobs.length > 0 ? [ROW_ID] : [])]);
  }

  digests(batch: RecordBatch): Promise<(index: number) => Uint8Array> {
    const { columns, blobs = [], signal } = this.#versions;
    return contentDigests(this.#version.table, batch, columns, blobs, signal);
  }

  addresses(): Promise<AddressSet> {
    return collectAddresses(this.#read([ADDRESS]));
  }

  async *#read(columns: readonly string[]): AsyncGenerator<RecordBatch> {
    const { signal } = this.#versions;
    if (this.#fragments.length > 0) {
      yield* scanFragments(this.#version.table, this.#fragments, { columns, signal });
    }
    yield* rowsAt(this.#version, this.#single, columns, signal);
  }
}

/** In fragments with the same data files, which rows were deleted since, and which came back. */
async function compareDeletions(
  { older, newer, signal }: TwoVersions,
  fragments: readonly number[],
): Promise<{ gone: AddressSet; made: AddressSet }> {
  const [gone, made] = [new AddressSet(), new AddressSet()];
  if (fragments.length === 0) return { gone, made };
  const both = [older, newer].map((version) => addressesIn(version, fragments, signal));
  const [before = gone, after = made] = await Promise.all(both);
  for (const [fragment, offset] of before) if (!after.has(fragment, offset)) gone.add(fragment, offset);
  for (const [fragment, offset] of after) if (!before.has(fragment, offset)) made.add(fragment, offset);
  return { gone, made };
}
