// A program that works with a repository and is killed, or watched: backs up, lists and restores. Prints as JSON
// what came of it, and whether LanceDB's library was loaded into it.
//
//   node program.ts '{"repository":…,"snapshot":…,"options":{…}}'

import { BlobStore } from "../../../src/engine/blobs/blob-store.ts";
import { LanceDB } from "../../../src/lance/which-lancedb.ts";
import { takeSnapshot as backup } from "../../../src/repository/take-snapshot.ts";
import { LanceCatalog } from "../../../src/sources/lancedb/lance-catalog.ts";
import { restore } from "../../../src/sources/lancedb/restore/restore-database.ts";
import type { RestoreOptions } from "../../../src/sources/lancedb/restore/restore-options.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";

export interface RestoreTask {
  readonly repository: string;
  /** Missing: one is taken of `source`. */
  readonly snapshot?: string;
  readonly source?: string;
  readonly options: RestoreOptions;
}

const task = JSON.parse(process.argv[2] ?? "{}") as RestoreTask;
const nothing = () => undefined;
const logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const storage = new LocalStorage(task.repository);
const context = { blobs: new BlobStore(storage), logger, lancedb: new LanceDB() };
const catalog = new LanceCatalog({ storage, logger });
if (task.source !== undefined) {
  await backup(
    { ...context, previous: (source) => catalog.stored.newestOf(source) },
    { source: task.source },
  );
  await catalog.list();
}
const content = await catalog.content(await catalog.resolve(task.snapshot ?? "latest"));
const report = await restore(context, content, task.options);
const { sharedObjects } = process.report.getReport() as { sharedObjects: string[] };
const isLoaded = sharedObjects.some((path) => path.includes("lancedb"));
process.stdout.write(JSON.stringify({ report, isLoaded }));
