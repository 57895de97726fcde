import {
  type Data,
  Field,
  FixedSizeList,
  Float32,
  makeData,
  makeVector,
  RecordBatch,
  Schema,
  Struct,
  Table,
  Utf8,
  vectorFromArray,
} from "apache-arrow";

/** Rows with columns `id`, `word` (where words are given) and `vector`. */
export function vectorTable(rows: {
  ids: Int32Array;
  words?: readonly string[];
  components: Float32Array;
  dimensions: number;
}): Table {
  const { ids, words, components, dimensions } = rows;
  const type = new FixedSizeList(dimensions, new Field("item", new Float32(), true));
  const child = makeData({ type: new Float32(), data: components });
  const vector = makeData({ type, length: ids.length, nullCount: 0, child });
  const columns: [string, Data][] = [["id", dataOf(makeVector(ids))]];
  if (words) columns.push(["word", dataOf(vectorFromArray(words, new Utf8()))]);
  columns.push(["vector", vector]);
  const schema = new Schema(columns.map(([name, data]) => new Field(name, data.type, true)));
  const children = columns.map(([, data]) => data);
  const struct = makeData({
    type: new Struct(schema.fields),
    length: ids.length,
    nullCount: 0,
    children,
  });
  return new Table(schema, new RecordBatch(schema, struct));
}

function dataOf(vector: { data: readonly Data[] }): Data {
  const [data] = vector.data;
  if (!data) throw new Error("an Arrow vector has no data");
  return data;
}
