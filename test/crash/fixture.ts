import { connect, Index } from "@lancedb/lancedb";

export const row = (id: number, text = `row ${id}`) => ({
  id,
  text,
  vector: [id % 7, id % 5, id % 3, 1].map((part) => part / 8),
});

export const rows = (from: number, count: number, text?: string) =>
  Array.from({ length: count }, (_, index) => row(from + index, text));

/** Four tables that have lived: indices, deleted and updated rows, a tag; one lies in a namespace. */
export async function makeFixture(uri: string, options: { namespace: boolean }): Promise<void> {
  const db = await connect(uri);
  if (options.namespace) {
    await db.createNamespace(["ns"]);
    await db.createTable("n", rows(0, 8), ["ns"]);
  }
  const a = await db.createTable("a", rows(0, 40));
  await a.createIndex("id", { config: Index.btree() });
  await a.add(rows(40, 5));
  await a.delete("id = 3");
  await (await a.tags()).create("first", 1);
  const b = await db.createTable("b", rows(0, 20));
  await b.update({ where: "id < 3", values: { text: "updated" } });
  const c = await db.createTable("c", rows(0, 10));
  await c.createIndex("id", { config: Index.btree() });
  db.close();
}
