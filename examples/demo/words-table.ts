import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { connect, Index, type Table } from "@lancedb/lancedb";
import { tableFromIPC } from "apache-arrow";
import { createIndexesWithBackup, insertRecordsWithBackup } from "lancedb-backup";

/** Where the demo's database and its backups lie: the package's default places. */
export interface Place {
  readonly uri: string;
  readonly backupDir: string;
}

const root = join(import.meta.dirname, "..", "..");

/** Makes the table anew: words and vectors from `data/sample/`, a vector index and a full-text index. */
export async function buildTable(): Promise<Place> {
  const place: Place = {
    uri: join(root, "data", "lancedb-table"),
    backupDir: join(root, "data", "backups"),
  };
  await rm(place.uri, { recursive: true, force: true });
  await rm(place.backupDir, { recursive: true, force: true });
  const words = tableFromIPC(await readFile(join(root, "data", "sample", "words.arrow")));
  const strategy = "lance-version";
  await insertRecordsWithBackup(words, { table: "words", strategy, ...place });
  await createIndexesWithBackup(
    "words",
    [
      { column: "vector", config: Index.ivfFlat({ distanceType: "cosine", numPartitions: 8 }) },
      { column: "word", config: Index.fts() },
    ],
    { strategy, ...place },
  );
  return place;
}

/** A handle of its own on the table, as another program would open it. */
export async function openWords(place: Place): Promise<Table> {
  return (await connect(place.uri)).openTable("words");
}

/** What must be right again after each disaster. */
export interface Look {
  readonly rows: number;
  readonly version: number;
  readonly nearest: ReadonlyMap<string, readonly string[]>;
  /** Rows that the full-text index finds for a word. */
  readonly found: number;
}

const ASKED = ["king", "coffee", "berlin"];

export async function lookAt(table: Table): Promise<Look> {
  const nearest = new Map<string, string[]>();
  for (const word of ASKED) nearest.set(word, await nearestWords(table, word));
  const found = await table.search("coffee", "fts", "word").limit(10).toArray();
  return { rows: await table.countRows(), version: await table.version(), nearest, found: found.length };
}

async function nearestWords(table: Table, word: string): Promise<string[]> {
  const [row] = await table.query().where(`word = '${word}'`).limit(1).toArray();
  if (!row) return [];
  const rows = await table
    .vectorSearch(row["vector"])
    .distanceType("cosine")
    .select(["word"])
    .limit(5)
    .toArray();
  return rows.map((hit) => String(hit["word"])).filter((hit) => hit !== word);
}
