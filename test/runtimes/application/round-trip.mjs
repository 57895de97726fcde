// What an application does with the package, in plain JavaScript: run by Jest, Bun, Deno and Node, each with the package
// as it is published. Answers with what came out, for the test to compare.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import {
  BackupManager,
  deleteRowsWithBackup,
  insertRecordsWithBackup,
  PeriodicBackupManager,
  restoreLatest,
} from "lancedb-backup";
import { Repository } from "lancedb-backup/repository";

const ignore = () => undefined;
const silent = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** @param {string} root an empty directory */
export async function roundTrip(root) {
  const [uri, backupDir] = [join(root, "db"), join(root, "backups")];
  const manager = new BackupManager({ uri, backupDir, logger: silent });
  const into = { table: "words", manager };
  const results = {};

  // Values of kinds that a program's own realm has: dates, bytes, maps, vectors.
  await insertRecordsWithBackup([row(1), row(2), row(3)], { ...into, strategy: "lance-version" });
  results.inserted = await idsIn(uri);
  await deleteRowsWithBackup([3], { ...into, key: "id", strategy: "directory-copy" });
  results.deleted = await idsIn(uri);

  for (const strategy of ["lance-version", "directory-copy"]) {
    const work = manager.withBackup(strategy, async (db) => {
      const table = await db.openTable("words");
      await table.add([row(8)]);
      await table.delete("id = 1");
      throw new Error("the application's own");
    });
    results[`failed with ${strategy}`] = await work.then(
      () => "no error",
      (error) => error.message,
    );
    results[`after ${strategy}`] = await idsIn(uri);
  }

  const id = await manager.createBackup("directory-copy");
  await insertRecordsWithBackup([row(4)], { ...into, mergeOn: "id", strategy: "lance-version" });
  await manager.restoreBackup(id);
  results.restored = await idsIn(uri);
  await manager.cleanupBackup(id);

  const periodicDir = join(root, "periodic");
  const periodic = new PeriodicBackupManager({
    uri,
    backupDir: periodicDir,
    incremental: true,
    logger: silent,
  });
  await periodic.backupFull();
  await insertRecordsWithBackup([row(5)], { ...into, strategy: "lance-version" });
  await periodic.backupDelta();
  await periodic.stop();
  await restoreLatest(periodicDir, join(root, "replayed"), { logger: silent });
  results.replayed = await idsIn(join(root, "replayed"));

  const repository = await Repository.init(join(root, "repository"), { logger: silent });
  await repository.backup({ source: uri });
  await repository.restore("latest", { target: join(root, "back") });
  results.back = await idsIn(join(root, "back"));
  const [verified] = await repository.verify("latest", { restoreTest: true });
  results.verified = verified.ok;
  await using snapshot = await repository.openSnapshot("latest");
  results.opened = await idsOf(snapshot);
  await repository.prune();

  results.leftovers = [".lancedb-backup/journal", ".lancedb-backup/staging"].flatMap((place) =>
    existsSync(join(uri, place)) ? readdirSync(join(uri, place)) : [],
  );
  return results;
}

export const EXPECTED = {
  inserted: [1, 2, 3],
  deleted: [1, 2],
  "failed with lance-version": "the application's own",
  "after lance-version": [1, 2],
  "failed with directory-copy": "the application's own",
  "after directory-copy": [1, 2],
  restored: [1, 2],
  replayed: [1, 2, 5],
  back: [1, 2, 5],
  verified: true,
  opened: [1, 2, 5],
  leftovers: [],
};

/** @param {number} id */
function row(id) {
  return {
    id,
    text: `word ${id}`,
    at: new Date(id * 1000),
    bytes: new Uint8Array([id, 255]),
    vector: new Float32Array([id, 0.5]),
    inner: { list: [id, id + 1] },
  };
}

/** @param {string} uri */
export async function idsIn(uri) {
  return idsOf(await connect(uri));
}

async function idsOf(db) {
  const rows = await (await db.openTable("words")).query().select(["id"]).toArray();
  return rows.map(({ id }) => Number(id)).sort();
}
