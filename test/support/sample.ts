import { type Connection, Index, type Table } from "@lancedb/lancedb";
import { Field, FixedSizeList, Float32, Float64, Int32, Schema, Utf8 } from "apache-arrow";

const DIMENSION = 8;

interface SampleRow extends Record<string, unknown> {
  readonly id: number;
  readonly text: string;
  readonly group: string;
  readonly score: number;
  readonly vector: number[];
}

export const sampleSchema = new Schema([
  new Field("id", new Int32(), false),
  new Field("text", new Utf8(), true),
  new Field("group", new Utf8(), true),
  new Field("score", new Float64(), true),
  new Field("vector", new FixedSizeList(DIMENSION, new Field("item", new Float32(), true)), true),
]);

const WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"];

/** Rows that are a function of their id (and of `salt`), so that any of them can be checked alone. */
export function sampleRows(from: number, count: number, salt = 0): SampleRow[] {
  return Array.from({ length: count }, (_, offset) => {
    const id = from + offset;
    return {
      id,
      text: `${WORDS[id % WORDS.length]} ${WORDS[(id + salt) % WORDS.length]} ${id}`,
      group: `g${id % 4}`,
      score: id / 7 + salt,
      vector: Array.from({ length: DIMENSION }, (_, axis) => Math.fround(Math.sin(id * (axis + 1) + salt))),
    };
  });
}

/** A table with history: two appends, a deletion, an update; with `indices`, one of each kind. */
export async function makeSampleTable(
  db: Connection,
  name: string,
  options: {
    rows?: number;
    indices?: boolean;
    namespacePath?: string[];
    storageOptions?: Record<string, string>;
  } = {},
): Promise<Table> {
  const { rows = 40, indices = false, namespacePath = [], storageOptions = {} } = options;
  const half = Math.floor(rows / 2);
  const table = await db.createTable(name, sampleRows(0, half), namespacePath, {
    schema: sampleSchema,
    storageOptions,
  });
  await table.add(sampleRows(half, rows - half));
  await table.delete("id = 3");
  await table.update({ where: "id = 5", values: { text: "alpha updated" } });
  if (indices) {
    await table.createIndex("id", { config: Index.btree() });
    await table.createIndex("text", { config: Index.fts() });
    await table.createIndex("vector", { config: Index.ivfFlat({ numPartitions: 2 }) });
  }
  return table;
}
