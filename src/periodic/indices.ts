import type { Index, IvfPqOptions, Table } from "@lancedb/lancedb";
import { reasonOf } from "../fs/io.ts";
import type { LanceDB, LanceDBApi } from "../lance/which-lancedb.ts";
import type { Logger } from "../logger.ts";
import type { IndexRecord } from "./file/types.ts";
import { textSettings, vectorSettings } from "./index-settings.ts";

type IndexApi = LanceDBApi["Index"];
type Recipe = readonly [maker: keyof IndexApi, settings?: object];

/** How an index of each of LanceDB's kinds is made anew, like the one that was recorded. */
const RECIPES: Readonly<Record<string, (record: IndexRecord) => Recipe>> = {
  BTree: () => ["btree"],
  Bitmap: () => ["bitmap"],
  LabelList: () => ["labelList"],
  Fm: () => ["fm"],
  FTS: ({ details = {} }) => ["fts", textSettings(details)],
  IvfPq: (record) => ["ivfPq", unlessHamming(record)],
  IvfRq: (record) => ["ivfRq", unlessHamming(record)],
  IvfFlat: ({ details = {}, distanceType }) => ["ivfFlat", vectorSettings(details, distanceType)],
  IvfHnswPq: (record) => ["hnswPq", unlessHamming(record)],
  IvfHnswSq: (record) => ["hnswSq", unlessHamming(record)],
};

function configOf(api: IndexApi, record: IndexRecord): Index | undefined {
  const recipe = Object.hasOwn(RECIPES, record.type) ? RECIPES[record.type]?.(record) : undefined;
  if (recipe === undefined) return undefined;
  const [maker, settings] = recipe;
  if (!(maker in api)) throw new TypeError("the LanceDB in use has no such kind of index");
  const make = api[maker] as (...settings: object[]) => Index;
  return settings ? make(settings) : make();
}

/** The distance of bits has an index of one kind only. */
function unlessHamming({ details = {}, distanceType }: IndexRecord): Partial<IvfPqOptions> {
  const settings = vectorSettings(details, distanceType);
  if (settings.distanceType === "hamming") throw new TypeError("this kind of index has no such distance");
  return settings as Partial<IvfPqOptions>;
}

/** The indices of a table, as a file records them. */
export async function recordIndices(table: Table): Promise<IndexRecord[]> {
  const records: IndexRecord[] = [];
  for (const { name, columns, indexType, indexDetails } of await table.listIndices()) {
    const vector = indexType.startsWith("Ivf");
    const distanceType = vector ? (await table.indexStats(name))?.distanceType : undefined;
    // Where LanceDB cannot parse the details, it gives them as a text.
    const details = isObject(indexDetails) && Object.keys(indexDetails).length > 0 ? indexDetails : undefined;
    records.push({ name, columns, type: indexType, distanceType, details });
  }
  return records;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Makes a table's indices anew. One that cannot be made (too few rows to train on, a kind that we do not
 * know) is a warning: the rows are all there, and searches without it find the same.
 */
export async function makeIndices(
  table: Table,
  records: readonly IndexRecord[],
  context: { readonly lancedb: LanceDB; readonly table: string; readonly logger: Logger },
): Promise<string[]> {
  const made: string[] = [];
  if (records.length === 0) return made;
  const { Index: api } = await context.lancedb.api();
  for (const record of records) {
    const { name, columns, type } = record;
    const [column, ...others] = columns;
    try {
      const config = configOf(api, record);
      if (config === undefined || column === undefined || others.length > 0) {
        throw new TypeError(`no way is known to make an index of the kind ${type}`);
      }
      await table.createIndex(column, { config, name, replace: true });
      if (!(await table.listIndices()).some((index) => index.name === name)) {
        const reason = "the LanceDB in use gives indices their names itself";
        context.logger.warn("an index has another name", { table: context.table, index: name, reason });
      }
      made.push(name);
    } catch (error) {
      const reason = reasonOf(error);
      context.logger.warn("an index could not be made anew", { table: context.table, index: name, reason });
    }
  }
  return made;
}
