import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import fsExtra from "fs-extra";
import { BackupManager, BackupStrategy, Repository } from "lancedb-backup";
import type { BenchData } from "./data/databases.ts";
import { cache } from "./data/paths.ts";
import type { Sizes } from "./data/sizes.ts";
import type { Figure } from "./harness/figure.ts";
import { sampleOf } from "./harness/measure.ts";
import { quiet } from "./harness/quiet.ts";
import { installed, run } from "./harness/tools.ts";
import { archivers } from "./repository/archiver.ts";

const WRITER = join(import.meta.dirname, "..", "test", "support", "hot-writer.ts");

/** Takes one copy of the database while it is written to; answers with where it is, once it is complete. */
type Copies = (uri: string, target: string) => Promise<string>;

function ours(): Record<string, Copies> {
  return {
    "lancedb-backup, createBackup": async (uri, target) => {
      const manager = new BackupManager({ uri, backupDir: target, logger: quiet });
      return join(target, await manager.createBackup(BackupStrategy.DirectoryCopy));
    },
    "lancedb-backup, repository": async (uri, target) => {
      const repository = await Repository.init(join(target, "repository"), { logger: quiet });
      await repository.backup({ source: uri });
      await repository.restore("latest", { target: join(target, "out") });
      return join(target, "out");
    },
  };
}

function others(): Record<string, Copies> {
  const copy = (program: string, flag: string): Copies => {
    return async (uri, target) => {
      await run(program, [flag, `${uri}/.`, `${target}/`]).catch(() => undefined); // a file vanished: take what there is
      return target;
    };
  };
  const archived = archivers().map(({ name, init, backup, restore }): [string, Copies] => [
    name,
    async (uri, target) => {
      const archive = join(target, "archive");
      await init(archive);
      await run(...backup(archive, uri, "first")).catch(() => undefined); // both end with an error where a file vanished
      await restore(archive, "first", join(target, "out")).catch(() => undefined);
      return join(target, "out", uri);
    },
  ]);
  return {
    "cp -r": copy("cp", "-r"),
    ...(installed("rsync") ? { "rsync -a": copy("rsync", "-a") } : {}),
    "fs-extra copy": async (uri, target) => {
      await fsExtra.copy(uri, target).catch(() => undefined);
      return target;
    },
    ...Object.fromEntries(archived),
  };
}

/** Every row of every version is read: each batch has ten rows that say what it is, or none. */
async function isReadable(directory: string): Promise<boolean> {
  try {
    const db = await connect(directory);
    const table = await db.openTable("main");
    for (const { version } of await table.listVersions()) {
      await table.checkout(version);
      const counts = new Map<number, number>();
      for (const { batch } of await table.query().select(["batch"]).toArray()) {
        counts.set(Number(batch), (counts.get(Number(batch)) ?? 0) + 1);
      }
      for (const [batch, count] of counts) if (count !== (batch < 0 ? 1 : 10)) return false;
    }
    db.close();
    return true;
  } catch {
    return false; // that is the answer
  }
}

/** Copies beside a writer that adds, deletes, compacts and cleans up without pause: how many can be read whole. */
export async function measureConsistency(_data: BenchData, sizes: Sizes): Promise<Figure[]> {
  mkdirSync(join(cache, "work"), { recursive: true });
  const root = mkdtempSync(join(cache, "work", "consistency-"));
  const uri = join(root, "db");
  const db = await connect(uri);
  await db.createTable("main", [{ batch: -1, row: 0, text: "the first" }]);
  db.close();
  const writer = fork(WRITER, [uri], { stdio: ["ignore", "ignore", "inherit", "ipc"], execArgv: [] });
  try {
    await once(writer, "message");
    const ways = Object.entries({ ...ours(), ...others() });
    const readable = ways.map(() => 0);
    for (let n = 0; n < sizes.beside; n++) {
      for (const [index, [, copies]] of ways.entries()) {
        const target = join(root, "copy");
        mkdirSync(target);
        const copied = await copies(uri, target);
        if (await isReadable(copied)) readable[index] = (readable[index] ?? 0) + 1;
        rmSync(target, { recursive: true });
      }
    }
    return ways.map(([name], index) => {
      const value = ((readable[index] ?? 0) / sizes.beside) * 100;
      const what = `readable of ${sizes.beside} copies beside a writer, ${name}`;
      const target = name.startsWith("lancedb-backup")
        ? { target: { kind: "least", limit: 100 } as const }
        : {};
      return { what, value, unit: "%", samples: [sampleOf(name, [value])], ...target };
    });
  } finally {
    if (writer.exitCode === null) {
      writer.kill("SIGKILL");
      await once(writer, "exit");
    }
    rmSync(root, { recursive: true, force: true });
  }
}
