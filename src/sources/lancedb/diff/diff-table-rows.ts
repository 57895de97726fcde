import type { Table } from "@lancedb/lancedb";
import type { Schema } from "apache-arrow";
import { DigestTable } from "../../../arrow/digest-table.ts";
import { rowDigests } from "../../../arrow/row-digests.ts";
import { assertKey } from "../../../arrow/row-key.ts";
import { assertAddressable } from "../../../lance/lacking.ts";
import type { Manifest } from "../../../lance/manifest.ts";
import { AddressSet } from "../../../lance/row-delta/addresses.ts";
import { assertBlobsReadable, blobColumnsOf } from "../../../lance/row-delta/blob-digests.ts";
import { diffFragments, type FragmentDiff } from "../../../lance/row-delta/differing-fragments.ts";
import { diffRows, type RowDiff, type TwoVersions } from "../../../lance/row-delta/differing-rows.ts";
import { proveKeys } from "../../../lance/row-delta/prove-keys.ts";
import { rowsAt } from "../../../lance/row-delta/scan-rows.ts";
import { sameFields } from "../../../lance/same-content.ts";
import type { RowChanges, RowKey } from "./diff-report.ts";

export interface TableRowsRequest {
  readonly id: string;
  readonly older: Table;
  readonly newer: Table;
  /** What the tables are open at. */
  readonly before: Manifest;
  readonly after: Manifest;
  readonly key: readonly string[];
  readonly examples: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Compares two versions of a table by key, over the columns that both have. Reads fragments that differ, and nothing
 * else, where the columns are the same. @throws ValidationError where the key cannot be one.
 */
export async function diffTableRows(request: TableRowsRequest): Promise<RowChanges> {
  const { id, older, newer, before, after, key, signal } = request;
  const [was, is] = [await older.schema(), await newer.schema()];
  for (const schema of [was, is]) assertKey(id, schema, key);
  for (const table of [older, newer]) await assertAddressable(table, id);
  const columns = sharedColumns(was, is);
  for (const name of key) {
    if (!columns.includes(name))
      return { comparable: false, why: `the type of its key column ${name} changed` };
  }
  const blobs = blobColumnsOf(is);
  for (const [table, schema] of [
    [older, was],
    [newer, is],
  ] as const) {
    const there = blobColumnsOf(schema);
    const isCompared = (name: string) => columns.includes(name);
    assertBlobsReadable(table, {
      names: there.names.filter(isCompared),
      unreadable: there.unreadable.filter(isCompared),
    });
  }
  const versions: TwoVersions = {
    older: { table: older, manifest: before },
    newer: { table: newer, manifest: after },
    columns,
    blobs: blobs.names.filter((name) => columns.includes(name)),
    signal,
  };
  const rows = await diffRows(versions, fragmentsOf(request));
  const keyed = await proveKeys(versions, rows, key);
  if (!keyed.usable) return { comparable: false, why: keyed.why };
  // Each key is that of one row at most on either side, so what is gone and has no key among the made was removed.
  const removed = keyed.deletes.size;
  const changed = rows.gone.size - removed;
  const added = rows.made.size - changed;
  const examples = await examplesOf(request, rows, keyed.deletes);
  return { comparable: true, added, removed, changed, examples };
}

function sharedColumns(a: Schema, b: Schema): string[] {
  const types = new Map(b.fields.map((field) => [field.name, String(field.type)]));
  return a.fields.filter((field) => types.get(field.name) === String(field.type)).map((field) => field.name);
}

/** Where columns changed, the same file may hold another column under a name: then all rows are compared. */
function fragmentsOf({ before, after }: TableRowsRequest): FragmentDiff {
  if (sameFields(before, after)) return diffFragments(before, after);
  const nothing = { ...after, message: { ...after.message, fragments: [] } };
  const { made } = diffFragments(nothing, after);
  const { gone } = diffFragments(before, nothing);
  return { deletions: [], gone, made };
}

/** The first keys of each kind. */
async function examplesOf(
  { older, newer, before, after, key, examples, signal }: TableRowsRequest,
  { made, gone }: RowDiff,
  deletes: AddressSet,
): Promise<{ added: RowKey[]; removed: RowKey[]; changed: RowKey[] }> {
  const [added, removed, changed]: [RowKey[], RowKey[], RowKey[]] = [[], [], []];
  const add = (list: RowKey[], row: unknown) => {
    if (list.length < examples) list.push(keyFrom(row, key));
  };
  if (examples === 0) return { added, removed, changed };
  const [was, is] = [
    { table: older, manifest: before },
    { table: newer, manifest: after },
  ];
  for await (const batch of rowsAt(was, firstOf(deletes, examples), key, signal)) {
    for (let row = 0; row < batch.numRows; row++) add(removed, batch.get(row));
  }
  const goneKeys = new DigestTable(gone.size);
  for await (const batch of rowsAt(was, gone, key, signal)) {
    const digest = rowDigests(batch, key);
    for (let row = 0; row < batch.numRows; row++) goneKeys.add(digest(row));
  }
  for await (const batch of rowsAt(is, made, key, signal)) {
    const digest = rowDigests(batch, key);
    for (let row = 0; row < batch.numRows; row++)
      add(goneKeys.has(digest(row)) ? changed : added, batch.get(row));
    const isFull = added.length === examples && changed.length === examples;
    if (isFull) break;
  }
  return { added, removed, changed };
}

function firstOf(addresses: AddressSet, count: number): AddressSet {
  const first = new AddressSet();
  for (const [fragment, offset] of addresses) {
    if (first.size === count) break;
    first.add(fragment, offset);
  }
  return first;
}

function keyFrom(row: unknown, key: readonly string[]): RowKey {
  const values = row as Record<string, unknown>;
  return Object.fromEntries(key.map((name) => [name, values[name]]));
}
