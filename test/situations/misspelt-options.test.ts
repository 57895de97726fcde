import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import {
  applyDelta,
  BackupManager,
  createIndexesWithBackup,
  deleteRowsWithBackup,
  diagnose,
  insertRecordsWithBackup,
  loadBackup,
  PeriodicBackupManager,
  Repository,
  restoreLatest,
  ValidationError,
} from "lancedb-backup";
import { expect, test } from "vitest";
import { newDirectory } from "../support/database.ts";

interface Place {
  readonly uri: string;
  readonly manager: BackupManager;
  readonly vault: Repository;
  /** A path where nothing is. */
  readonly free: string;
}

const strategy = "lance-version";

/** Every public call that takes options, with one that is misspelt. TypeScript would tell; JavaScript does not. */
const calls: Readonly<Record<string, (place: Place, options: object) => unknown>> = {
  BackupManager: (_, options) => new BackupManager(options),
  createBackup: ({ manager }, options) => manager.createBackup(strategy, options),
  restoreBackup: ({ manager }, options) => manager.restoreBackup("backup_1", options),
  withBackup: ({ manager }, options) => manager.withBackup(strategy, async () => undefined, options),
  recover: ({ manager }, options) => manager.recover(options),
  insertRecordsWithBackup: ({ uri }, options) =>
    insertRecordsWithBackup([{ id: 1 }], { uri, table: "t", strategy, ...options }),
  deleteRowsWithBackup: ({ uri }, options) =>
    deleteRowsWithBackup([1], { uri, table: "t", key: "id", strategy, ...options }),
  createIndexesWithBackup: ({ uri }, options) =>
    createIndexesWithBackup("t", [], { uri, strategy, ...options }),
  PeriodicBackupManager: (_, options) => new PeriodicBackupManager(options),
  loadBackup: ({ free }, options) => loadBackup("x.json", free, options),
  applyDelta: ({ uri }, options) => applyDelta(uri, "x.json", options),
  restoreLatest: ({ uri, free }, options) => restoreLatest(uri, free, options),
  "Repository.init": ({ free }, options) => Repository.init(free, options),
  "Repository.open": ({ free }, options) => Repository.open(free, options),
  backup: ({ vault, uri }, options) => vault.backup({ source: uri, ...options }),
  list: ({ vault }, options) => vault.list(options),
  restore: ({ vault, free }, options) => vault.restore("latest", { target: free, ...options }),
  openSnapshot: ({ vault }, options) => vault.openSnapshot("latest", options),
  verify: ({ vault }, options) => vault.verify(undefined, options),
  diff: ({ vault }, options) => vault.diff("latest", "latest", options),
  prune: ({ vault }, options) => vault.prune(options),
  scrub: ({ vault, uri }, options) => vault.scrub(uri, options),
  diagnose: (_, options) => diagnose(options),
};

test.each(Object.keys(calls))("%s refuses an option that it does not have, by name", async (name) => {
  const place = await makePlace();
  const call = async () => calls[name]?.(place, { oncnflict: "keep" });
  const refused = await call().then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(refused).toBeInstanceOf(ValidationError);
  expect(String(refused)).toContain("oncnflict");
  const table = await (await connect(place.uri)).openTable("t");
  expect(await table.version()).toBe(1);
  expect(await place.vault.list()).toHaveLength(1);
});

test("options that the helpers share may name the table to each of them, and no other", async () => {
  const { uri } = await makePlace();
  const shared: { uri: string; table: string; strategy: typeof strategy } = { uri, table: "t", strategy };
  const made = await createIndexesWithBackup("t", [{ column: "id" }], shared);
  expect(made.indexes).toEqual(["id_idx"]);
  const others = { ...shared, table: "u" };
  const other = createIndexesWithBackup("t", [{ column: "id" }], others);
  await expect(other).rejects.toBeInstanceOf(ValidationError);
});

test("the parts of an option are held to their names too", async () => {
  const { uri } = await makePlace();
  const index = { column: "id", replce: false } as object as { column: string };
  await expect(createIndexesWithBackup("t", [index], { uri, strategy })).rejects.toThrow('"replce"');
  const embedding = { function: { computeSourceEmbeddings: () => [] }, source: "id", vektor: "v" } as never;
  await expect(
    insertRecordsWithBackup([{ id: 2 }], { uri, table: "t", strategy, embedding }),
  ).rejects.toThrow('"vektor"');
});

async function makePlace(): Promise<Place> {
  const root = await newDirectory();
  const uri = join(root, "db");
  const db = await connect(uri);
  await db.createTable("t", [{ id: 1 }]);
  const vault = await Repository.init(join(root, "vault"));
  await vault.backup({ source: uri });
  const manager = new BackupManager({ uri, backupDir: join(root, "backups") });
  return { uri, manager, vault, free: join(root, "free") };
}
