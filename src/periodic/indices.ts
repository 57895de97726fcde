import { Index, type Table } from "@lancedb/lancedb";
import type { Logger } from "../logger.ts";
import type { IndexRecord } from "./file/types.ts";

type Distance = "l2" | "cosine" | "dot";

/** How an index of each of LanceDB's kinds is made anew, with its default settings. */
const MAKERS: Readonly<Record<string, (distanceType: Distance | undefined) => Index>> = {
  BTree: () => Index.btree(),
  Bitmap: () => Index.bitmap(),
  LabelList: () => Index.labelList(),
  FTS: () => Index.fts(),
  IvfPq: (distance) => Index.ivfPq(options(distance)),
  IvfRq: (distance) => Index.ivfRq(options(distance)),
  IvfFlat: (distance) => Index.ivfFlat(options(distance)),
  IvfHnswPq: (distance) => Index.hnswPq(options(distance)),
  IvfHnswSq: (distance) => Index.hnswSq(options(distance)),
};

function options(distanceType: Distance | undefined): { distanceType?: Distance } {
  return distanceType === undefined ? {} : { distanceType };
}

/** The indices of a table, as a file records them. */
export async function recordIndices(table: Table): Promise<IndexRecord[]> {
  const records: IndexRecord[] = [];
  for (const { name, columns, indexType } of await table.listIndices()) {
    const vector = indexType.startsWith("Ivf");
    const distanceType = vector ? (await table.indexStats(name))?.distanceType : undefined;
    records.push({ name, columns, type: indexType, distanceType });
  }
  return records;
}

/**
 * Makes a table's indices anew. One that cannot be made (too few rows to train on, a kind that we do not
 * know) is a warning: the rows are all there, and searches without it find the same.
 */
export async function makeIndices(
  table: Table,
  records: readonly IndexRecord[],
  context: { readonly table: string; readonly logger: Logger },
): Promise<string[]> {
  const made: string[] = [];
  for (const { name, columns, type, distanceType } of records) {
    const [column, ...others] = columns;
    const config = MAKERS[type]?.(isDistance(distanceType) ? distanceType : undefined);
    try {
      if (config === undefined || column === undefined || others.length > 0) {
        throw new TypeError(`no way is known to make an index of the kind ${type}`);
      }
      await table.createIndex(column, { config, name, replace: true });
      made.push(name);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      context.logger.warn("an index could not be made anew", { table: context.table, index: name, reason });
    }
  }
  return made;
}

function isDistance(value: string | undefined): value is Distance {
  return value === "l2" || value === "cosine" || value === "dot";
}
