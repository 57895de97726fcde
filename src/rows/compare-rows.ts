import type { Table } from "@lancedb/lancedb";
import type { RecordBatch, Schema } from "apache-arrow";
import { columnOf } from "../arrow/column.ts";
import { keyDigests, rowDigests } from "../arrow/row-digests.ts";
import { takeRows } from "../arrow/take-rows.ts";
import { whereIn } from "../arrow/where-in.ts";
import { ValidationError } from "../errors.ts";
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
 * @throws ValidationError where the live table lacks one of their columns, or has it with another type.
 */
export async function* differingRows(request: Compared, counts: RowCounts): AsyncGenerator<RecordBatch> {
  const { id, old, live, key, filters, signal } = request;
  const columns = sharedColumns(id, await old.schema(), await live.schema());
  for (const where of filters) {
    for await (const batch of scan(old, { columns, where, signal })) {
      const there = await rowsByKey(live, batch, key, columns, signal);
      const [keyOf, rowOf] = [keyDigests([columnOf(batch, key)]), rowDigests(batch, columns)];
      const wanted: number[] = [];
      for (let index = 0; index < batch.numRows; index++) {
        const found = there.get(hex(keyOf(index)));
        if (found?.every((row) => row === found[0]) && found[0] === hex(rowOf(index))) counts.same++;
        else {
          wanted.push(index);
          if (found) counts.changed++;
          else counts.added++;
        }
      }
      if (wanted.length > 0) yield takeRows(batch, columns, wanted);
    }
  }
}

/** Digests of the live rows that have one of a batch's keys, by the key's. */
async function rowsByKey(
  live: Table,
  batch: RecordBatch,
  key: string,
  columns: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Map<string, string[]>> {
  const rows = new Map<string, string[]>();
  const where = whereIn(key, columnOf(batch, key));
  for await (const found of scan(live, { columns, where, signal })) {
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
