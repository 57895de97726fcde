import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Connection, connect } from "@lancedb/lancedb";
import { syncTree } from "../harness/sync.ts";
import { cloneDatabase } from "./clone.ts";
import { cache } from "./paths.ts";
import { insertRows } from "./rows.ts";
import type { Sizes } from "./sizes.ts";
import { loadWords, makeUpWords, wordFragments } from "./words.ts";

/** Change it when the data changes: what lies in the cache is then made again. */
const FORMAT = 1;

const SMALL_ROWS = 100;

/** Databases that nobody writes to; `cloneDatabase` makes one to work on. */
export interface BenchData {
  /** Table `words`: as many versions as fragments. */
  readonly words: string;
  /** The same rows with the newest version alone. */
  readonly wordsOneVersion: string;
  /** The same rows with a long history. */
  readonly wordsLongHistory: string;
  /** Table `documents`, 128 dimensions. */
  readonly inserts: string;
  /** Tables `small0`, `small1`, … */
  readonly manySmall: string;
  /** Table `small0` alone. */
  readonly oneSmall: string;
}

/** Makes what is not in the cache. */
export async function makeData(sizes: Sizes): Promise<BenchData> {
  const words = await cached(sizes, "words", (path) => makeWords(path, sizes));
  return {
    words,
    wordsOneVersion: await cached(sizes, "words-one-version", async (path) => {
      cloneDatabase(words, path, { newestOnly: true });
    }),
    wordsLongHistory: await cached(sizes, "words-long-history", async (path) => {
      cloneDatabase(words, path);
      await commitNothing(path, sizes.longHistory);
    }),
    inserts: await cached(sizes, "inserts", (path) => makeInserts(path, sizes)),
    manySmall: await cached(sizes, "many-small", (path) => makeSmall(path, sizes.smallTables)),
    oneSmall: await cached(sizes, "one-small", (path) => makeSmall(path, 1)),
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

function makeSmall(path: string, tables: number): Promise<void> {
  const rows = insertRows(SMALL_ROWS, 1);
  return withConnection(path, async (db) => {
    for (let number = 0; number < tables; number++) await db.createTable(`small${number}`, rows);
  });
}
