import type { IndexConfig, Table } from "@lancedb/lancedb";
import type { Data, Vector } from "apache-arrow";
import { arrow } from "../../../arrow/arrow.ts";
import { type ColumnPath, quoteColumn, resolveColumn } from "../../../arrow/column-path.ts";
import { literalsFor, whereIn } from "../../../arrow/where-in.ts";
import { CorruptError, UnsupportedError } from "../../../errors.ts";
import { isError } from "../../../fs/io.ts";

/** So many rows are looked at for a value to query by. */
const PROBE_ROWS = 64;
const MOST_WORDS = 12;

/**
 * Runs a query that an index serves, by a value that a row holds, and answers with what came of it in words.
 *
 * @throws CorruptError where the index does not find what is there. @throws LanceDB's errors.
 */
export async function testIndex(table: Table, { name, indexType, columns }: IndexConfig): Promise<string> {
  const [column] = columns;
  const path = column === undefined ? undefined : resolveColumn(column, (await table.schema()).fields);
  if (columns.length !== 1 || column === undefined || !path || path.some((part) => part.includes("`"))) {
    return withStatistics(table, name, "Its columns are not ones that a query can be made up for");
  }
  const values = await probe(table, path);
  if (!values) return withStatistics(table, name, "No row has a value to query by");
  if (/^(ivf|hnsw)/i.test(indexType)) return testVectors(table, name, column, values);
  if (/^(fts|inverted)/i.test(indexType)) return testText(table, name, column, values);
  return testScalar(table, name, path, values);
}

/** Some values of a column that are not null. */
async function probe(table: Table, column: ColumnPath): Promise<Vector | undefined> {
  const quoted = quoteColumn(column);
  const query = table
    .query()
    .select(new Map([["probe", quoted]]))
    .where(`${quoted} IS NOT NULL`);
  const found = await query.limit(PROBE_ROWS).toArrow();
  return found.numRows > 0 ? ((found.getChild("probe") as Vector | null) ?? undefined) : undefined;
}

async function testVectors(table: Table, name: string, column: string, values: Vector): Promise<string> {
  const own = plain(values.get(0)) as number[];
  const found = await table.vectorSearch(own).column(column).limit(1).toArrow();
  if (found.numRows === 0) throw finds(name, "no neighbour of a row's own vector");
  return "The nearest neighbour of a row's own vector was found.";
}

async function testText(table: Table, name: string, column: string, values: Vector): Promise<string> {
  const words = wordsOf(values);
  if (words.length === 0) return withStatistics(table, name, "No row has a word to search for");
  for (const word of words) {
    const query = table.query().fullTextSearch(word, { columns: [column] });
    if ((await query.limit(1).toArrow()).numRows > 0) return `The word ${JSON.stringify(word)} was found.`;
  }
  throw finds(name, `none of the words ${words.join(", ")}`);
}

/** The longest first: short ones may be left out of an index. Whole texts last: some indices do not split them. */
function wordsOf(values: Vector): string[] {
  const texts = Array.from({ length: values.length }, (_, index) => plain(values.get(index))).flat();
  const words = texts.flatMap((text) =>
    typeof text === "string" ? (text.match(/[\p{L}\p{N}]+/gu) ?? []) : [],
  );
  const longest = [...new Set(words)].sort((a, b) => b.length - a.length).slice(0, MOST_WORDS);
  const whole = texts.find((text) => typeof text === "string" && text !== "");
  return typeof whole === "string" ? [...longest, whole] : longest;
}

/** The rows that the index finds by a value are as many as a scan finds, which it cannot serve. */
async function testScalar(table: Table, name: string, path: ColumnPath, values: Vector): Promise<string> {
  const filters = filtersFor(path, values);
  if (!filters) return withStatistics(table, name, "Its type is not one that a query can be made up for");
  const [found, there] = [await table.countRows(filters.indexed), await table.countRows(filters.scanned)];
  if (found !== there) throw finds(name, `${found} rows with a value that ${there} have`);
  return `${found} rows with a row's own value were found, as many as by a scan.`;
}

function filtersFor(path: ColumnPath, values: Vector): { indexed: string; scanned: string } | undefined {
  const quoted = quoteColumn(path);
  const aside = `coalesce(${quoted}, ${quoted})`; // no index serves an expression
  const data = values.data.find(({ length }) => length > 0);
  if (!data) return undefined;
  try {
    if (arrow.DataType.isList(data.type)) {
      const items = (values.get(0) as Vector).data.find(({ length }) => length > 0) as Data;
      const literal = literalsFor(items.type, 1).literal(items, 0);
      return { indexed: `array_has(${quoted}, ${literal})`, scanned: `array_has(${aside}, ${literal})` };
    }
    const indexed = whereIn(path, data, 0, 1);
    const [head = "", ...rest] = indexed.split(" IN (");
    return { indexed, scanned: [head.replace(quoted, () => aside), ...rest].join(" IN (") };
  } catch (error) {
    if (error instanceof UnsupportedError || (isError(error) && error.name === "TypeError")) return undefined;
    throw error;
  }
}

/** An index that cannot be queried is opened all the same. */
async function withStatistics(table: Table, name: string, why: string): Promise<string> {
  const stats = await table.indexStats(name);
  return `${why}: it was opened, and says that it holds ${stats?.numIndexedRows ?? 0} rows.`;
}

function plain(value: unknown): unknown {
  const isVector = typeof value === "object" && value !== null && Symbol.iterator in value;
  return isVector ? Array.from(value as Iterable<unknown>, plain) : value;
}

function finds(name: string, what: string): CorruptError {
  return new CorruptError(`Index ${name} finds ${what}.`);
}
