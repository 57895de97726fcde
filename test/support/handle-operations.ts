import { Index, type Table } from "@lancedb/lancedb";
import { sampleRows } from "./sample.ts";

/** A table's rows as far as the operations below can tell: id and text. */
export type Texts = Map<number, string>;

/** Something that a program does with a handle, and what it makes of the rows if it is told that it worked. */
export interface HandleOperation {
  /** `n` makes each use of an operation tell from every other. */
  readonly run: (table: Table, n: number) => Promise<unknown>;
  readonly effect?: (texts: Texts, n: number) => void;
}

export const HANDLE_OPERATIONS = {
  add: {
    run: (table, n) => table.add(sampleRows(10_000 + n, 1)),
    effect: (texts, n) => addTo(texts, 10_000 + n),
  },
  delete: {
    run: (table, n) => table.delete(`id = ${10 + n}`),
    effect: (texts, n) => texts.delete(10 + n),
  },
  update: {
    run: (table, n) => table.update({ where: "id = 1", values: { text: `by ${n}` } }),
    effect: (texts, n) => texts.has(1) && texts.set(1, `by ${n}`),
  },
  mergeInsert: {
    run: (table, n) =>
      table
        .mergeInsert("id")
        .whenMatchedUpdateAll()
        .whenNotMatchedInsertAll()
        .execute([{ ...sampleRows(2, 1)[0], text: `by ${n}` }, ...sampleRows(20_000 + n, 1)]),
    effect: (texts, n) => {
      texts.set(2, `by ${n}`);
      addTo(texts, 20_000 + n);
    },
  },
  optimize: { run: (table) => table.optimize() },
  createIndex: { run: (table) => table.createIndex("group", { config: Index.bitmap(), replace: true }) },
  read: { run: (table) => table.query().toArrow() },
  refreshedAdd: {
    run: async (table, n) => {
      await table.checkoutLatest();
      await table.add(sampleRows(30_000 + n, 1));
    },
    effect: (texts, n) => addTo(texts, 30_000 + n),
  },
} satisfies Record<string, HandleOperation>;

export type HandleOperationName = keyof typeof HANDLE_OPERATIONS;

export const HANDLE_OPERATION_NAMES = Object.keys(HANDLE_OPERATIONS) as HandleOperationName[];

export async function textsOf(table: Table): Promise<Texts> {
  const rows = await table.query().toArrow(); // every column, so that every file is read
  const [ids, texts] = [rows.getChild("id"), rows.getChild("text")];
  return new Map(Array.from(ids ?? [], (id, index) => [Number(id), String(texts?.get(index))]));
}

function addTo(texts: Texts, id: number): void {
  for (const row of sampleRows(id, 1)) texts.set(row.id, row.text);
}
