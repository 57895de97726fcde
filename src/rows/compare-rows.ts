import type { Table } from "@lancedb/lancedb";
import type { RecordBatch, Schema } from "apache-arrow";
import { show } from "../arrow/bad-value.ts";
import { columnOf } from "../arrow/column.ts";
import { KeySet } from "../arrow/digest-table.ts";
import { keyDigests, rowDigests } from "../arrow/row-digests.ts";
import { takeRows } from "../arrow/take-rows.ts";
import { whereIn } from "../arrow/where-in.ts";
import { UnsupportedError, ValidationError } from "../errors.ts";
import { blobColumnsOf } from "../lance/row-delta/blob-digests.ts";
import { scan } from "../lance/row-delta/scan-rows.ts";

/** How many rows the live table lacks, has with other values, and has just so. */
export interface RowCounts {
  added: number;
  changed: number;
  same: number;
}

export interface Compared {
  readonly id: string;
  /** As the snapshot has it. */
  readonly old: Table;
  readonly live: Table;
  readonly key: string;
  readonly filters: readonly string[];
  readonly signal: AbortSignal | undefined;
}

/**
 * Rows of the snapshot that the live table lacks, or has with other values, batch by batch; all are counted.
 *
 * @throws ValidationError where the live table lacks one of their columns, or has it with another type; where two rows of
 * either table have one key, of which an upsert would leave one.
 */
export async function* differingRows(request: Compared, counts: RowCounts): AsyncGenerator<RecordBatch> {
  const { id, old, live, key, filters, signal } = request;
  const columns = sharedColumns(id, await old.schema(), await live.schema());
  const seen = new KeySet();
  for (const [turn, where] of filters.entries()) {
    for await (const batch of scan(old, { columns, where, signal })) {
      const there = await rowsByKey(live, batch, key, columns, signal);
      const [keyOf, rowOf] = [keyDigests([columnOf(batch, key)]), rowDigests(batch, columns)];
      const wanted: number[] = [];
      for (let index = 0; index < batch.numRows; index++) {
        const digest = keyOf(index);
        const before = seen.add(digest, turn);
        if (before === turn) throw repeated(request, "snapshot's", batch, index);
        if (before !== undefined) continue; // the key was named twice
        const found = there.get(hex(digest)) ?? [];
        if (found.length > 1) throw repeated(request, "live", batch, index);
        if (found[0] === hex(rowOf(index))) counts.same++;
        else {
          wanted.push(index);
          if (found.length > 0) counts.changed++;
          else counts.added++;
        }
      }
      if (wanted.length === 0) continue;
      const rows = takeRows(batch, columns, wanted);
      await assertAlone(request, rows);
      yield rows;
    }
  }
}

/** A filter may leave out another row of the snapshot that has the same key. @throws ValidationError */
async function assertAlone(request: Compared, rows: RecordBatch): Promise<void> {
  const { old, key, signal } = request;
  const all = await rowsByKey(old, rows, key, [key], signal);
  const keyOf = keyDigests([columnOf(rows, key)]);
  for (let index = 0; index < rows.numRows; index++) {
    if ((all.get(hex(keyOf(index)))?.length ?? 0) > 1) throw repeated(request, "snapshot's", rows, index);
  }
}

function repeated(
  { id, key }: Compared,
  whose: "live" | "snapshot's",
  rows: RecordBatch,
  index: number,
): ValidationError {
  const value = show(rows.getChild(key)?.get(index));
  return new ValidationError(
    `Two rows of the ${whose} table ${id} have the key ${value} in their column ${key}, so that it does not tell rows apart: one would take the other's place. Name another column, or restore the table beside it, under another name.`,
  );
}

/** @throws UnsupportedError where a column keeps blobs: a scan says where they lie, not what they are. */
export function assertComparable(id: string, schema: Schema): void {
  const { names, unreadable } = blobColumnsOf(schema);
  const [column] = [...names, ...unreadable];
  if (column === undefined) return;
  throw new UnsupportedError(
    `The column ${column} of table ${id} keeps blobs, and its rows cannot be put back one by one. Restore the table beside it, under another name.`,
  );
}

/** Digests of a table's rows that have one of a batch's keys, by the key's. */
async function rowsByKey(
  table: Table,
  batch: RecordBatch,
  key: string,
  columns: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Map<string, string[]>> {
  const rows = new Map<string, string[]>();
  const where = whereIn(key, columnOf(batch, key));
  for await (const found of scan(table, { columns, where, signal })) {
    const [keyOf, rowOf] = [keyDigests([columnOf(found, key)]), rowDigests(found, columns)];
    for (let index = 0; index < found.numRows; index++) {
      const digest = hex(keyOf(index));
      rows.set(digest, [...(rows.get(digest) ?? []), hex(rowOf(index))]);
    }
  }
  return rows;
}

function sharedColumns(id: string, old: Schema, live: Schema): string[] {
  const types = new Map(live.fields.map(({ name, type }) => [name, String(type)]));
  for (const { name, type } of old.fields) {
    if (types.get(name) === String(type)) continue;
    const has = types.has(name)
      ? `has the column ${name} with the type ${types.get(name)}`
      : `lacks the column ${name}`;
    throw new ValidationError(
      `The live table ${id} ${has}, and the snapshot has it with the type ${type}: rows cannot be put into it. Restore the table beside it, under another name.`,
    );
  }
  return old.fields.map(({ name }) => name);
}

function hex(digest: Uint8Array): string {
  return Buffer.from(digest).toString("latin1");
}
