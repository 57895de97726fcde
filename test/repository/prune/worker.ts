// Makes snapshots of a few contents, deletes them and prunes, at random, as several programs on one repository do.
// Prints the id of each snapshot that it made, and `end`.
//
//   node worker.ts '{"directory":…,"stop":…,"seed":1}'
import { setTimeout as sleep } from "node:timers/promises";
import { blobName, snapshotName } from "../../../src/engine/format/names.ts";
import { prune } from "../../../src/engine/prune/prune-snapshots.ts";
import { BackupNotFoundError } from "../../../src/errors.ts";
import { LanceCatalog } from "../../../src/sources/lancedb/lance-catalog.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import { Random } from "../../concurrency/random.ts";
import { isStopped, type TurnsTask } from "../../concurrency/turns.ts";
import { silent } from "../../crash/silent.ts";
import { digestOf, documentOf, makeSnapshot } from "../fixture.ts";
import { acquireLease } from "../lease/leases.ts";

export interface WorkerTask extends TurnsTask {
  readonly directory: string;
}

const task = JSON.parse(process.argv[2] ?? "{}") as WorkerTask;
const random = new Random(task.seed);
const storage = new LocalStorage(task.directory);
const catalog = new LanceCatalog({ storage, logger: silent });

/** As docs/formats.md says under "Writing a snapshot". */
async function backup(): Promise<void> {
  await using lease = await acquireLease(storage, "shared", { logger: silent, timeoutMs: 120_000 });
  const contents = Array.from({ length: 3 + random.below(4) }, () => `content ${random.below(30)}`);
  const found = new Set<string>();
  for (const content of contents) {
    const name = blobName(digestOf(content));
    if (await storage.stat(name)) found.add(name);
    else await storage.write(name, Buffer.from(content));
    if (random.chance(0.3)) await sleep(random.below(8));
  }
  await lease.assertHeld();
  for (const name of found)
    if (!(await storage.stat(name))) throw new Error(`${name} vanished under a lease`);
  const files = Object.fromEntries(contents.map((content, index) => [`data/${index}`, content]));
  const snapshot = makeSnapshot({ at: Date.now(), tables: { "t.lance": files } });
  await storage.writeNew(snapshotName(snapshot.snapshot.id), documentOf(snapshot));
  process.stdout.write(`made ${snapshot.snapshot.id}\n`);
}

async function deleteOne(): Promise<void> {
  const ids = await catalog.ids();
  if (ids.length < 3) return;
  await catalog.delete(random.pick(ids)).catch((error: unknown) => {
    if (!(error instanceof BackupNotFoundError)) throw error; // another was quicker
  });
}

while (!isStopped(task)) {
  const turn = random.next();
  if (turn < 0.5) await backup();
  else if (turn < 0.6) await deleteOne();
  else {
    const keepLast = random.chance(0.7) ? 2 : undefined;
    const { freed } = await prune(
      { storage, logger: silent },
      { graceHours: 0, keepLast, lockTimeoutMs: 120_000 },
    );
    process.stdout.write(`freed ${freed.blobs}\n`);
  }
}
process.stdout.write("end\n");
