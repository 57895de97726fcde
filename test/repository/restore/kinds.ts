import { join } from "node:path";
import { blob, type Connection, connect, Index } from "@lancedb/lancedb";
import { Field, Int32, Schema } from "apache-arrow";
import { onTestFinished } from "vitest";
import { createMarker } from "../../../src/engine/marker.ts";
import { restore } from "../../../src/sources/lancedb/restore/restore-database.ts";
import type { RestoreOptions } from "../../../src/sources/lancedb/restore/restore-options.ts";
import type { RestoreReport } from "../../../src/sources/lancedb/restore/restore-report.ts";
import type { SnapshotContent } from "../../../src/sources/lancedb/snapshot-view.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { lancedb, newDirectory } from "../../support/database.ts";
import { makeSampleTable, sampleRows } from "../../support/sample.ts";
import { snapshotOf, type TableSnapshot } from "../../support/snapshot.ts";
import { blobsOf } from "../lance-parts.ts";
import { silent } from "../sound.ts";

const blobSchema = new Schema([new Field("id", new Int32()), blob("body")]);
const blobRow = (id: number, bytes: number) => ({ id, body: Buffer.alloc(bytes, `blob ${id}, `) });

/** Tables of every kind: indices, tags, a history, old manifest names, stable row ids, blobs, namespaces, none. */
export async function makeAllKinds(db: Connection): Promise<void> {
  const main = await makeSampleTable(db, "main", { indices: true });
  await (await main.tags()).create("second", 2);
  await (await main.tags()).create("newest", await main.version());
  await makeSampleTable(db, "oldNames", {
    rows: 10,
    storageOptions: { new_table_enable_v2_manifest_paths: "false" },
  });
  await makeSampleTable(db, "stable", {
    indices: true,
    storageOptions: { new_table_enable_stable_row_ids: "true" },
  });
  const blobs = await db.createTable("blobs", [blobRow(1, 5_000_000), blobRow(2, 200_000), blobRow(3, 1)], {
    schema: blobSchema,
  });
  await blobs.add([blobRow(5, 6_000_000)]);
  await blobs.delete("id = 2");
  await db.createNamespace(["ns"]);
  await db.createNamespace(["ns", "inner"]);
  await db.createNamespace(["bare"]);
  const spaced = await makeSampleTable(db, "spaced", { rows: 10, namespacePath: ["ns"] });
  await spaced.createIndex("group", { config: Index.bitmap() });
  await makeSampleTable(db, "deep", { rows: 4, namespacePath: ["ns", "inner"] });
  await db.createEmptyTable("empty", blobSchema);
}

export interface RestorePlace {
  readonly directory: string;
  readonly uri: string;
  readonly db: Connection;
  readonly storage: LocalStorage;
}

export async function newRestorePlace(): Promise<RestorePlace> {
  const directory = await newDirectory();
  const storage = new LocalStorage(join(directory, "repository"));
  await createMarker(storage);
  const uri = join(directory, "db");
  const db = await connect(uri);
  onTestFinished(() => db.close());
  return { directory, uri, db, storage };
}

export function restoreTo(
  storage: Storage,
  content: SnapshotContent,
  options: RestoreOptions,
): Promise<RestoreReport> {
  return restore({ blobs: blobsOf(storage), lancedb, logger: silent }, content, options);
}

/** What a database at a path shows, by a connection of its own. */
export async function showing(uri: string): Promise<Record<string, TableSnapshot>> {
  const db = await connect(uri);
  try {
    return await snapshotOf(db);
  } finally {
    db.close();
  }
}

/** The same storage without a directory: as one that is elsewhere. */
export function elsewhere(storage: Storage): Storage {
  return {
    location: `elsewhere:${storage.location}`,
    read: (name, options) => storage.read(name, options),
    write: (name, content, options) => storage.write(name, content, options),
    writeNew: (name, content, options) => storage.writeNew(name, content, options),
    list: (prefix) => storage.list(prefix),
    remove: (name) => storage.remove(name),
    stat: (name) => storage.stat(name),
  };
}

export { sampleRows };
