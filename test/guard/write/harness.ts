import type { Connection, Table } from "@lancedb/lancedb";
import { arrow } from "../../../src/arrow/arrow.ts";
import { valuesOf } from "../../../src/arrow/codecs.ts";
import { newDatabase, type TestDatabase } from "../../support/database.ts";
import { snapshotOfTable, type TableSnapshot } from "../../support/snapshot.ts";

export { leftovers } from "../../support/database.ts";
export { arrow };

export type Place = TestDatabase;

export async function newPlace(): Promise<Place> {
  return await newDatabase();
}

/** Every row of a table, each value exact, in the order that LanceDB gives them. */
export async function rowsOf(table: Table): Promise<Record<string, unknown>[]> {
  const rows: Record<string, unknown>[] = [];
  for await (const batch of table.query()) {
    const columns = batch.schema.fields.map(
      (field, index) => [field.name, valuesOf(batch.data.children[index] as never)] as const,
    );
    for (let index = 0; index < batch.numRows; index++) {
      rows.push(Object.fromEntries(columns.map(([name, values]) => [name, values[index]])));
    }
  }
  return rows;
}

/** All that a rollback must bring back. Not the version, which only grows. */
export async function stateOf(db: Connection, name: string, path: string[] = []): Promise<TableSnapshot> {
  return await snapshotOfTable(await db.openTable(name, path));
}

/** A value as text that tells apart what JSON does not: bigints, -0, NaN, bytes. */
export function print(value: unknown): string {
  return JSON.stringify(value, (_, inner) => {
    if (typeof inner === "bigint") return `${inner}n`;
    if (Object.is(inner, -0)) return "-0";
    if (typeof inner === "number" && !Number.isFinite(inner)) return String(inner);
    if (!ArrayBuffer.isView(inner)) return inner;
    return Buffer.from(inner.buffer, inner.byteOffset, inner.byteLength).toString("hex");
  });
}

/** The names of a database's root tables. */
export async function tableNames(db: Connection): Promise<string[]> {
  return (await db.tableNames()).sort();
}

/** What `work` throws. */
export async function errorOf(work: () => Promise<unknown>): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}
