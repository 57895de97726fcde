import { execFileSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { blob, type Connection, connect, type Table } from "@lancedb/lancedb";
import { Field, Int32, Schema } from "apache-arrow";
import { onTestFinished } from "vitest";
import { createMarker } from "../../src/engine/marker.ts";
import { LanceCatalog } from "../../src/sources/lancedb/lance-catalog.ts";
import type { Damage, ScrubOptions, ScrubReport } from "../../src/sources/lancedb/scrub/scrub-report.ts";
import { scrub } from "../../src/sources/lancedb/scrub/scrub-tables.ts";
import type { SnapshotContent } from "../../src/sources/lancedb/snapshot-view.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { newDirectory } from "../support/database.ts";
import { makeSampleTable } from "../support/sample.ts";
import { snapshotOf, type TableSnapshot } from "../support/snapshot.ts";
import { flipBit } from "./broken.ts";
import { blobsOf } from "./lance-parts.ts";
import { silent, takeSnapshot } from "./sound.ts";

export interface ScrubPlace {
  readonly uri: string;
  readonly db: Connection;
  readonly storage: LocalStorage;
  /** `main` (deletions, an update, three indices, a tag) and `media`, whose large values lie beside its data. */
  readonly snapshot: SnapshotContent;
  /** What the tables showed when it was taken. */
  readonly shown: Record<string, TableSnapshot>;
  scrub(options?: ScrubOptions): Promise<ScrubReport>;
  /** All tables as a new connection shows them. */
  look(): Promise<Record<string, TableSnapshot>>;
}

const blobSchema = new Schema([new Field("id", new Int32()), blob("body")]);

export async function scrubPlace(): Promise<ScrubPlace> {
  const parent = await newDirectory();
  const uri = join(parent, "db");
  const storage = new LocalStorage(join(parent, "repository"));
  await createMarker(storage);
  const db = await connect(uri);
  onTestFinished(() => db.close());
  const main = await makeSampleTable(db, "main", { indices: true });
  await (await main.tags()).create("good", 3);
  await db.createTable(
    "media",
    [1, 2].map((id) => ({ id, body: Buffer.alloc(200_000 * id, `blob ${id}, `) })),
    {
      schema: blobSchema,
    },
  );
  const snapshot = await takeSnapshot(storage, uri);
  const look = async () => {
    const fresh = await connect(uri);
    try {
      return await snapshotOf(fresh);
    } finally {
      fresh.close();
    }
  };
  const catalog = new LanceCatalog({ storage, logger: silent });
  const run = (options?: ScrubOptions) => scrub({ blobs: blobsOf(storage), catalog }, uri, options);
  return { uri, db, storage, snapshot, shown: await look(), scrub: run, look };
}

/** Paths of a live table's files. */
export function livePaths(uri: string, table: string): string[] {
  const root = join(uri, `${table}.lance`);
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();
}

/** The one live file of a table whose path matches. */
export function livePath(uri: string, table: string, pattern: RegExp): string {
  const found = livePaths(uri, table).find((path) => pattern.test(path));
  if (found === undefined) throw new Error(`no file like ${pattern} in ${livePaths(uri, table)}`);
  return found;
}

/** Flips a bit as a failing disk does: the file's times stay. */
export function rotBit(file: string, offset: number): void {
  const { mtimeNs } = statSync(file, { bigint: true });
  flipBit(file, offset);
  execFileSync("touch", [
    "-d",
    `@${mtimeNs / 1_000_000_000n}.${String(mtimeNs % 1_000_000_000n).padStart(9, "0")}`,
    file,
  ]);
}

export const onlyDamage = ({ damage }: ScrubReport): Damage => {
  const [first, ...rest] = damage;
  if (!first || rest.length > 0) throw new Error(`${damage.length} damaged files: ${JSON.stringify(damage)}`);
  return first;
};

export async function openTable(uri: string, name: string): Promise<Table> {
  const db = await connect(uri);
  onTestFinished(() => db.close());
  return db.openTable(name);
}
