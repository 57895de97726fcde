import { connect } from "@lancedb/lancedb";
import { EmbeddingFunction, getRegistry } from "@lancedb/lancedb/embedding";
import { expect, test } from "vitest";
import { arrow } from "../../src/arrow/arrow.ts";
import { restoreLatest } from "../../src/periodic/replay/restore-latest.ts";
import { contentOf, Place, tableOf } from "./harness.ts";

const vector = new arrow.FixedSizeList(2, new arrow.Field("item", new arrow.Float32(), true));

/** Rows `{ id, text, vector }` of a table that names a function by which vectors are made of texts. */
function rows(
  ids: readonly number[],
  name: string,
  vectors: readonly unknown[],
  text = (id: number) => `t${id}`,
) {
  const plain = tableOf({
    id: [new arrow.Int32(), ids],
    text: [new arrow.Utf8(), ids.map(text)],
    vector: [vector, vectors],
  });
  const functions = [{ name, model: {}, sourceColumn: "text", vectorColumn: "vector" }];
  const metadata = new Map([["embedding_functions", JSON.stringify(functions)]]);
  const schema = new arrow.Schema(plain.schema.fields, metadata);
  const batches = plain.batches.map((batch) => new arrow.RecordBatch(schema, batch.data as never));
  return new arrow.Table(schema, batches);
}

async function assertReplays(place: Place): Promise<void> {
  const target = place.fresh();
  await restoreLatest(place.backupDir, target, { logger: place.logger });
  expect(await contentOf(target)).toEqual(await contentOf(place.uri));
  const [live, made] = await Promise.all([connect(place.uri), connect(target)]);
  for (const name of await live.tableNames()) {
    const [one, other] = await Promise.all([live.openTable(name), made.openTable(name)]);
    expect((await other.schema()).metadata).toEqual((await one.schema()).metadata);
  }
  live.close();
  made.close();
}

test("a table whose embedding function this process does not know: fulls of many commits, and deltas", async () => {
  await using place = new Place();
  const ids = Array.from({ length: 16 }, (_, id) => id);
  const long = (id: number) => String(id).repeat(1_000_000);
  const vectors = ids.map((id) => [id, id]);
  const table = await (await place.db()).createTable("w", rows(ids, "unknown", vectors, long));
  const manager = place.manager({ incremental: true, fileFormat: "arrow" });
  await manager.backupFull();
  await assertReplays(place);
  await table.delete("id = 3");
  await table.update({ where: "id = 4", values: { text: "changed" } });
  await manager.backupDelta();
  await assertReplays(place);
  expect(place.warnings).toEqual([]);
});

class Constant extends EmbeddingFunction<string> {
  override toJSON(): object {
    return {};
  }
  override ndims(): number {
    return 2;
  }
  override embeddingDataType() {
    return new arrow.Float32();
  }
  override async computeQueryEmbeddings(): Promise<number[]> {
    return [1, 2];
  }
  override async computeSourceEmbeddings(texts: string[]): Promise<number[][]> {
    return texts.map(() => [1, 2]);
  }
}

test("a vector that is null stays null, where the embedding function is known", async () => {
  getRegistry().register("constant")(Constant as never);
  await using place = new Place();
  const some = rows([1, 2], "constant", [
    [5, 6],
    [7, 8],
  ]);
  const table = await (await place.db()).createTable("w", some);
  const manager = place.manager({ incremental: true });
  await manager.backupFull();
  await table.update({ where: "id = 2", valuesSql: { vector: "null" } });
  await manager.backupDelta();
  await assertReplays(place);
});
