import type { RecordBatch } from "apache-arrow";
import { arrow } from "../../arrow/arrow.ts";
import { columnOf } from "../../arrow/column.ts";
import { quoteColumn } from "../../arrow/column-path.ts";
import { DigestTable } from "../../arrow/digest-table.ts";
import { keyDigests } from "../../arrow/row-digests.ts";
import { describeKey, firstUnusableKey } from "../../arrow/row-key.ts";
import { takeRows } from "../../arrow/take-rows.ts";
import { whereIn } from "../../arrow/where-in.ts";
import { ADDRESS, AddressSet, addressesOf } from "./addresses.ts";
import type { RowDiff, TwoVersions } from "./differing-rows.ts";
import { rowsAt, scan } from "./scan-rows.ts";

/** Up to so many keys are looked up by a filter; more by a scan of the key columns. */
const MOST_BY_FILTER = 2000;

const LEAST_INT64 = -(2n ** 63n);

/** A row difference told by keys, or why keys cannot tell it. */
export type KeyedDiff =
  | { readonly usable: true; readonly upserts: AddressSet; readonly deletes: AddressSet }
  | { readonly usable: false; readonly why: string };

/**
 * Turns a row difference into upserts and deletes by key, where they say the same: each touched key must
 * name one row at most in either version.
 */
export async function proveKeys(
  versions: TwoVersions,
  diff: RowDiff,
  key: readonly string[],
): Promise<KeyedDiff> {
  if (diff.goneTwice) return { usable: false, why: "rows that are equal in all columns were deleted" };
  const { made, gone } = diff;
  const touched = new DigestTable(made.size + gone.size);
  const columns = [...key, ADDRESS];
  const parts: RecordBatch[] = [];
  const few = made.size + gone.size <= MOST_BY_FILTER;
  for await (const batch of rowsAt(versions.newer, made, columns, versions.signal)) {
    const problem = addKeys(batch, key, touched);
    if (problem !== undefined) return { usable: false, why: problem };
    if (few) parts.push(batch);
  }
  const seen = new DigestTable(gone.size);
  const deletes = new AddressSet();
  for await (const batch of rowsAt(versions.older, gone, columns, versions.signal)) {
    const problem = addKeys(batch, key, seen);
    if (problem !== undefined) return { usable: false, why: problem };
    const digest = keyDigests(key.map((name) => columnOf(batch, name)));
    const places = addressesOf(batch);
    const deleted: number[] = [];
    for (let row = 0; row < batch.numRows; row++) {
      if (!touched.add(digest(row))) continue;
      deletes.add(places[row * 2 + 1] ?? 0, places[row * 2] ?? 0);
      deleted.push(row);
    }
    if (few && deleted.length > 0) parts.push(takeRows(batch, key, deleted));
  }
  const others = await findOthers(versions, { key, touched, parts, upserts: made });
  if (others !== undefined) return { usable: false, why: others };
  return { usable: true, upserts: made, deletes };
}

/** Adds a batch's keys; tells the first that is null or there already. */
function addKeys(batch: RecordBatch, key: readonly string[], keys: DigestTable): string | undefined {
  const unusable = firstUnusableKey(batch, key);
  if (unusable !== undefined) return `the key ${describeKey(batch, key, unusable)} can name no row`;
  const digest = keyDigests(key.map((name) => columnOf(batch, name)));
  for (let row = 0; row < batch.numRows; row++) {
    if (!keys.add(digest(row))) return `the key ${describeKey(batch, key, row)} is that of several rows`;
  }
  return undefined;
}

interface Touched {
  readonly key: readonly string[];
  readonly touched: DigestTable;
  /** The key columns of all touched rows, where they are few. */
  readonly parts: readonly RecordBatch[];
  readonly upserts: AddressSet;
}

/** Looks for rows of the newer version that have a touched key and are no upsert. */
async function findOthers(
  { newer, signal }: TwoVersions,
  { key, touched, parts, upserts }: Touched,
): Promise<string | undefined> {
  if (upserts.size === 0 && parts.length === 0 && !hasAny(touched)) return undefined;
  const where = parts.length > 0 ? whereMayHave(parts, key) : undefined;
  if (where !== undefined && key.length === 1 && (await newer.table.countRows(where)) === upserts.size)
    return undefined;
  for await (const batch of scan(newer.table, { columns: [...key, ADDRESS], where, signal })) {
    const digest = keyDigests(key.map((name) => columnOf(batch, name)));
    const places = addressesOf(batch);
    for (let row = 0; row < batch.numRows; row++) {
      if (upserts.has(places[row * 2 + 1] ?? 0, places[row * 2] ?? 0)) continue;
      if (touched.has(digest(row))) return `the key ${describeKey(batch, key, row)} is that of several rows`;
    }
  }
  return undefined;
}

function hasAny(keys: DigestTable): boolean {
  for (const _ of keys.leftovers()) return true;
  return false;
}

/** Selects every row with one of the keys, and with several columns others too. */
function whereMayHave(parts: readonly RecordBatch[], key: readonly string[]): string {
  const columns = key.map((name) => {
    const lists = parts.map((part) => whereIn(name, columnOf(part, name)));
    return `${whereBetween(name, parts)}(${lists.join(" OR ")})`;
  });
  return columns.join(" AND ");
}

/** Least and greatest of the keys, in front of their list: keys of one neighbourhood are found twice as fast. */
function whereBetween(name: string, parts: readonly RecordBatch[]): string {
  let [least, most]: [number | bigint | undefined, number | bigint | undefined] = [undefined, undefined];
  for (const part of parts) {
    const { type, values, length } = columnOf(part, name);
    if (!arrow.DataType.isInt(type)) return "";
    for (let row = 0; row < length; row++) {
      const value: number | bigint = values[row];
      if (least === undefined || value < least) least = value;
      if (most === undefined || value > most) most = value;
    }
  }
  if (least === LEAST_INT64) return ""; // LanceDB reads it as the negation of a number that does not fit
  return `${quoteColumn(name)} >= ${least} AND ${quoteColumn(name)} <= ${most} AND `;
}
