import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Connection, connect, Index } from "@lancedb/lancedb";
import { bytesBelow, syncTree } from "../harness/sync.ts";
import { cloneDatabase } from "./clone.ts";
import { cache } from "./paths.ts";
import { insertRows } from "./rows.ts";
import type { Sizes } from "./sizes.ts";
import { textRows } from "./texts.ts";
import { loadWords, makeUpWords, wordFragments } from "./words.ts";

/** Change it when the data changes: what lies in the cache is then made again. */
const FORMAT = 1;

const SMALL_ROWS = 100;
const ROWS_OF_A_PARTITION = 50_000;

/** Databases that nobody writes to; `cloneDatabase` makes one to work on. */
export interface BenchData {
  /** Table `words`: a version for each fragment, and one for each index: vector, full text and scalar. */
  readonly words: string;
  /** The same rows without an index. */
  readonly wordsWithoutIndex: string;
  /** The same rows with the newest version alone. */
  readonly wordsOneVersion: string;
  /** The same rows with a long history. */
  readonly wordsLongHistory: string;
  /** Table `documents`, 128 dimensions. */
  readonly inserts: string;
  /** Table `texts`: a text and JSON, a kilobyte and a half a row. */
  readonly texts: string;
  /** Tables `small0`, `small1`, … */
  readonly manySmall: string;
  /** Table `small0` alone. */
  readonly oneSmall: string;
  /** Databases that differ in one thing. */
  readonly grown: Readonly<Record<"bytes" | "files" | "tables" | "versions", readonly Grown[]>>;
  /** Table `rows` with as many versions as `sizes.manyVersions`, and twice as many. */
  readonly manyVersions: readonly [string, string];
}

/** A database, and how much it has of what grows. */
export interface Grown {
  readonly database: string;
  readonly x: number;
}

/** Makes what is not in the cache. */
export async function makeData(sizes: Sizes): Promise<BenchData> {
  const wordsWithoutIndex = await cached(sizes, "words", (path) => makeWords(path, sizes));
  const words = await cached(sizes, "words-indexed", async (path) => {
    cloneDatabase(wordsWithoutIndex, path);
    await makeIndices(path);
  });
  return {
    words,
    wordsWithoutIndex,
    wordsOneVersion: await cached(sizes, "words-one-version", async (path) => {
      cloneDatabase(wordsWithoutIndex, path, { newestOnly: true });
    }),
    wordsLongHistory: await cached(sizes, "words-long-history", async (path) => {
      cloneDatabase(wordsWithoutIndex, path);
      await commitNothing(path, sizes.longHistory);
    }),
    inserts: await cached(sizes, "inserts", (path) => makeInserts(path, sizes)),
    texts: await cached(sizes, "texts", (path) => makeTexts(path, sizes)),
    manySmall: await cached(sizes, "many-small", (path) => makeSmall(path, sizes.smallTables)),
    oneSmall: await cached(sizes, "one-small", (path) => makeSmall(path, 1)),
    grown: {
      bytes: await grown(sizes, "bytes", sizes.grown.rows, (path, rows) =>
        makeFragments(path, 10, rows / 10),
      ),
      files: await grown(sizes, "files", sizes.grown.files, (path, files) => makeFragments(path, files, 10)),
      tables: await grown(sizes, "tables", sizes.grown.tables, (path, tables) => makeSmall(path, tables)),
      versions: await grown(sizes, "versions", sizes.grown.versions, (path, versions) =>
        makeVersions(path, versions),
      ),
    },
    manyVersions: [
      await cached(sizes, "many-versions", (path) => makeManyVersions(path, sizes.manyVersions)),
      await cached(sizes, "twice-as-many-versions", (path) => makeManyVersions(path, sizes.manyVersions * 2)),
    ],
  };
}

async function cached(sizes: Sizes, name: string, make: (path: string) => Promise<void>): Promise<string> {
  const path = join(cache, `${sizes.name}-${FORMAT}`, name);
  if (existsSync(path)) return path;
  const started = performance.now();
  const partial = `${path}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  await make(partial);
  await syncTree(partial);
  renameSync(partial, path);
  console.log(`made ${name} in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  return path;
}

/** As many databases as there are amounts; bytes are counted, the rest is what was asked for. */
async function grown(
  sizes: Sizes,
  axis: string,
  amounts: readonly number[],
  make: (path: string, amount: number) => Promise<void>,
): Promise<Grown[]> {
  const made: Grown[] = [];
  for (const amount of amounts) {
    const database = await cached(sizes, `${axis}-${amount}`, (path) => make(path, amount));
    made.push({ database, x: axis === "bytes" ? bytesBelow(database) : amount });
  }
  return made;
}

async function withConnection(path: string, task: (db: Connection) => Promise<void>): Promise<void> {
  const db = await connect(path);
  try {
    await task(db);
  } finally {
    db.close();
  }
}

function makeWords(path: string, sizes: Sizes): Promise<void> {
  const words = sizes.madeUpWords === undefined ? loadWords() : makeUpWords(sizes.madeUpWords);
  const fragments = wordFragments(words, sizes);
  return withConnection(path, async (db) => {
    const first = fragments.next();
    if (first.done) throw new Error("there are no words");
    const table = await db.createTable("words", first.value);
    for (const fragment of fragments) await table.add(fragment);
  });
}

function makeIndices(path: string): Promise<void> {
  return withConnection(path, async (db) => {
    const table = await db.openTable("words");
    const numPartitions = Math.ceil((await table.countRows()) / ROWS_OF_A_PARTITION);
    const config = Index.ivfPq({ numPartitions, numSubVectors: 10 });
    await table.createIndex("vector", { config });
    await table.createIndex("word", { config: Index.fts() });
    await table.createIndex("id", { config: Index.btree() });
  });
}

function commitNothing(path: string, versions: number): Promise<void> {
  return withConnection(path, async (db) => {
    const table = await db.openTable("words");
    while ((await table.version()) < versions) await table.delete("false");
  });
}

function makeInserts(path: string, sizes: Sizes): Promise<void> {
  return withConnection(path, async (db) => {
    const table = await db.createTable("documents", insertRows(sizes.insertRows, 1));
    for (let seed = 2; seed <= sizes.insertFragments; seed++) {
      await table.add(insertRows(sizes.insertRows, seed));
    }
  });
}

function makeTexts(path: string, sizes: Sizes): Promise<void> {
  return withConnection(path, async (db) => {
    const table = await db.createTable("texts", textRows(sizes.textRows, 1));
    for (let seed = 2; seed <= sizes.textFragments; seed++) await table.add(textRows(sizes.textRows, seed));
  });
}

/** One version alone, so that only its fragments count. */
async function makeFragments(path: string, fragments: number, rows: number): Promise<void> {
  const all = `${path}.all`;
  await withConnection(all, async (db) => {
    const table = await db.createTable("rows", insertRows(rows, 1));
    for (let seed = 2; seed <= fragments; seed++) await table.add(insertRows(rows, seed));
  });
  cloneDatabase(all, path, { newestOnly: true });
  rmSync(all, { recursive: true });
}

function makeVersions(path: string, versions: number): Promise<void> {
  return withConnection(path, async (db) => {
    const table = await db.createTable("rows", insertRows(SMALL_ROWS, 1));
    while ((await table.version()) < versions) await table.delete("false");
  });
}

/** Each version with a data file of its own; every hundred are put together, so that manifests stay small. */
function makeManyVersions(path: string, versions: number): Promise<void> {
  return withConnection(path, async (db) => {
    const table = await db.createTable("rows", insertRows(10, 1));
    for (let seed = 2; (await table.version()) < versions; seed++) {
      await table.add(insertRows(10, seed));
      if (seed % 100 === 0) await table.optimize({ cleanupOlderThan: new Date(0) });
    }
  });
}

function makeSmall(path: string, tables: number): Promise<void> {
  const rows = insertRows(SMALL_ROWS, 1);
  return withConnection(path, async (db) => {
    for (let number = 0; number < tables; number++) await db.createTable(`small${number}`, rows);
  });
}
