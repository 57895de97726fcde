// A program that runs guarded works on the table `shared`, several at once, each through a handle that it opens
// before it has the table's lock. Prints what became of them.
//
//   node guarded-writer.ts <uri> <backupDir> <name> <rounds>
import { setTimeout as sleep } from "node:timers/promises";
import { Index } from "@lancedb/lancedb";
import { BackupManager } from "../../src/guard/backup-manager.ts";
import { BackupStrategy } from "../../src/guard/backup-strategy.ts";
import { silent } from "../crash/silent.ts";

const [, , uri = "", backupDir = "", name = "", rounds = "1"] = process.argv;

const manager = new BackupManager({ uri, backupDir, logger: silent });
const works = Array.from({ length: Number(rounds) }, (_, round) =>
  manager.withBackup(BackupStrategy.LanceVersion, async (db) => {
    const table = await db.openTable("shared");
    await sleep(20);
    if (round % 2 === 0) await table.add([{ id: `${name}-${round}`, n: 0 }]);
    else await table.createIndex("id", { config: Index.btree() });
    await table.update({ where: "id = 'first'", valuesSql: { n: "n + 1" } });
  }),
);
const ends = await Promise.allSettled(works);
const errors = ends.flatMap((end) => (end.status === "rejected" ? [String(end.reason)] : []));
process.stdout.write(JSON.stringify(errors));
