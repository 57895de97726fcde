import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { connect } from "@lancedb/lancedb";
import { expect, onTestFinished, test } from "vitest";
import { BackupManager, BackupStrategy, type Logger } from "../../src/index.ts";
import { Repository } from "../../src/repository/repository.ts";
import { newDirectory } from "../support/database.ts";
import { materialise } from "./materialise.ts";
import { silent } from "./sound.ts";

const logger: Logger = silent;

async function arrange() {
  const directory = await newDirectory();
  const uri = join(directory, "db");
  const backupDir = join(directory, "backups");
  const repository = await Repository.init(join(directory, "repository"), { logger });
  const manager = new BackupManager({ uri, backupDir, logger });
  onTestFinished(() => manager[Symbol.asyncDispose]());
  return { directory, uri, backupDir, repository, manager };
}

test("tables that guarded work writes together are in step in every snapshot", async () => {
  const { directory, uri, repository, manager } = await arrange();
  const db = await connect(uri);
  await db.createTable("a", [{ id: 0 }]);
  await db.createTable("b", [{ id: 0 }]);
  let stop = false;
  const writer = (async () => {
    for (let id = 1; !stop; id++) {
      const fails = id % 5 === 0;
      await manager
        .withBackup(BackupStrategy.LanceVersion, async (guarded) => {
          await (await guarded.openTable("a")).add([{ id }]);
          await (await guarded.openTable("b")).add([{ id }]);
          if (fails) throw new Error("on purpose");
        })
        .catch((error: Error) => {
          if (error.message !== "on purpose") throw error;
        });
    }
  })();
  const ids: string[] = [];
  for (let i = 0; i < 12; i++) ids.push((await repository.backup({ source: uri })).id);
  stop = true;
  await writer;
  for (const [index, id] of ids.entries()) {
    const target = join(directory, `out-${index}`);
    materialise(repository.location, id, target);
    const restored = await connect(target);
    const rowsOf = async (name: string) =>
      (await (await restored.openTable(name)).query().toArray())
        .map((row) => Number(row.id))
        .sort((x, y) => x - y);
    const a = await rowsOf("a");
    expect(await rowsOf("b")).toEqual(a);
    expect(a.some((row) => row > 0 && row % 5 === 0)).toBe(false);
    restored.close();
  }
});

test("a table that a killed process left half-written is not backed up before it is rolled back", async () => {
  const { uri, backupDir, repository, manager } = await arrange();
  const db = await connect(uri);
  await db.createTable("a", [{ id: 0 }]);
  await db.createTable("other", [{ id: 0 }]);
  const program = fileURLToPath(new URL("./die-in-guarded-work.ts", import.meta.url));
  const child = spawn(process.execPath, [program, uri, backupDir], { stdio: "inherit" });
  await once(child, "exit");
  expect(await (await db.openTable("a")).countRows()).toBe(2);
  await expect(repository.backup({ source: uri })).rejects.toMatchObject({
    code: "LOCKED",
    message: expect.stringMatching(/Table a .*recover\(\)/),
  });
  expect((await repository.backup({ source: uri, tables: ["other"] })).tables).toHaveLength(1);
  await manager.recover();
  const snapshot = await repository.backup({ source: uri });
  expect(snapshot.tables.find(({ id }) => id === "a")?.rows).toBe(1);
});

test("a backup waits for guarded work, and ends with LockedError after its time limit", async () => {
  const { uri, repository, manager } = await arrange();
  const db = await connect(uri);
  await db.createTable("a", [{ id: 0 }]);
  await manager.withBackup(BackupStrategy.LanceVersion, async (guarded) => {
    await (await guarded.openTable("a")).add([{ id: 1 }]);
    const program = fileURLToPath(new URL("./back-up.ts", import.meta.url));
    const child = spawn(process.execPath, [program, repository.location, uri, "200"]);
    let output = "";
    child.stdout.on("data", (text) => {
      output += text;
    });
    await once(child, "close");
    expect(output).toContain("LOCKED");
  });
  expect((await repository.backup({ source: uri })).tables[0]?.rows).toBe(2);
});

test("backup, list and get do not load LanceDB's native library", async () => {
  const { uri, repository } = await arrange();
  const db = await connect(uri);
  await db.createTable("a", [{ id: 0 }]);
  const program = fileURLToPath(new URL("./back-up.ts", import.meta.url));
  const child = spawn(process.execPath, [program, repository.location, uri, "5000"]);
  let output = "";
  child.stdout.on("data", (text) => {
    output += text;
  });
  await once(child, "close");
  expect(JSON.parse(output)).toEqual({ snapshots: 1, native: [] });
  expect(existsSync(uri)).toBe(true);
});
