import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect, onTestFinished, test } from "vitest";
import { backupDatabase, restoreDatabase } from "../../src/dumps/backup-database.ts";
import { BackupFormat } from "../../src/dumps/backup-format.ts";
import { DatabaseBackup } from "../../src/dumps/database-backup.ts";
import { BackupNotFoundError, CorruptError, ValidationError } from "../../src/errors.ts";
import { silent } from "../crash/silent.ts";
import { counts, digestOf, makeDatabase, query, startWriter } from "../sources/sqlite/sqlite-fixture.ts";
import { newDirectory } from "../support/database.ts";

const ROOM = join(import.meta.dirname, "../../src/dumps");

async function newPlace() {
  const directory = await newDirectory();
  const path = join(directory, "app.db");
  makeDatabase(path);
  const backupDir = join(directory, "backups");
  return { directory, path, backupDir, backups: new DatabaseBackup(backupDir, { logger: silent }) };
}

function visible(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => !name.startsWith("."))
    .sort();
}

test("a SQLite database is copied beside a writer, listed, and put back", async () => {
  const { path, backupDir, backups } = await newPlace();
  const writer = await startWriter(path);
  const made = await backups.backupSqlite(path, "nightly");
  const done = await writer.stop();
  const [ids, twins] = counts(made.filePath);
  expect(twins).toBe(ids);
  expect(made).toMatchObject({ name: "nightly", databaseName: "app.db", format: BackupFormat.Custom });
  expect(made.sizeBytes).toBe(statSync(made.filePath).size);
  expect(made.checksum).toBe(digestOf(made.filePath));
  expect(made.timestamp).toBeInstanceOf(Date);
  expect(await backups.listBackups()).toEqual([made]);
  expect(visible(backupDir)).toEqual(["backup_manifest.json", expect.stringMatching(/^nightly-.*\.db$/)]);
  expect(counts(path)).toEqual([100 + done, 100 + done]);
  await backups.restoreSqlite("nightly", path);
  expect(counts(path)).toEqual([ids, twins]);
  await backups.restoreSqlite(made.id, join(backupDir, "../elsewhere.db"));
  expect(counts(join(backupDir, "../elsewhere.db"))).toEqual([ids, twins]);
});

test("a name stands for its newest; prune keeps the newest of each database", async () => {
  const { directory, path, backupDir, backups } = await newPlace();
  const other = join(directory, "other.db");
  makeDatabase(other, { rows: 7 });
  const all = [];
  for (const [from, name] of [
    [path, "a"],
    [path, "a"],
    [other, "a"],
    [path, "b"],
  ] as const) {
    all.push(await backups.backupSqlite(from, name));
  }
  expect((await backups.listBackups()).map(({ id }) => id)).toEqual(all.map(({ id }) => id).reverse());
  await backups.restoreSqlite("a", join(directory, "back.db"));
  expect(counts(join(directory, "back.db"))).toEqual([7, 7]);
  expect(await backups.prune({ maxBackups: 2 })).toBe(1);
  expect(await backups.prune({})).toBe(0);
  expect(await backups.prune({ maxAgeDays: 0 })).toBe(1);
  const left = (await backups.listBackups()).map(({ id }) => id);
  expect(left).toEqual([all[3]?.id, all[2]?.id]);
  expect(visible(backupDir)).toHaveLength(3);
  await expect(backups.prune({ maxBackups: 0 })).rejects.toThrow(ValidationError);
  await expect(backups.prune({ keepLast: 3 } as never)).rejects.toThrow(/no option/);
});

test("damage and what is not there are errors, and the target stays", async () => {
  const { path, backups } = await newPlace();
  const made = await backups.backupSqlite(path, "nightly");
  const before = digestOf(path);
  await expect(backups.restoreSqlite("another", path)).rejects.toThrow(BackupNotFoundError);
  await expect(backups.restorePostgres("nightly", "postgresql://x/y")).rejects.toThrow(BackupNotFoundError);
  const bytes = readFileSync(made.filePath);
  bytes[bytes.length - 100] = (bytes.at(-100) ?? 0) ^ 1;
  writeFileSync(made.filePath, bytes);
  await expect(backups.restoreSqlite("nightly", path)).rejects.toThrow(CorruptError);
  rmSync(made.filePath);
  await expect(backups.restoreSqlite("nightly", path)).rejects.toThrow(/its file is gone/);
  expect(digestOf(path)).toBe(before);
  for (const name of ["", "../x", "a/b", ".hidden", "-rf"]) {
    await expect((async () => backups.backupSqlite(path, name))()).rejects.toThrow(ValidationError);
  }
  expect(() => new DatabaseBackup("x", { compression: true } as never)).toThrow(/no option/);
});

test("a manifest that is damaged is told and never written over", async () => {
  const { path, backupDir, backups } = await newPlace();
  await backups.backupSqlite(path, "nightly");
  const manifest = join(backupDir, "backup_manifest.json");
  writeFileSync(manifest, readFileSync(manifest, "utf8").slice(0, -20));
  const before = readFileSync(manifest, "utf8");
  await expect(backups.backupSqlite(path, "nightly")).rejects.toThrow(CorruptError);
  await expect(backups.listBackups()).rejects.toThrow(manifest);
  expect(readFileSync(manifest, "utf8")).toBe(before);
});

test("one packed file with a checksum, and back; failures are results", async () => {
  const { directory, path, backupDir } = await newPlace();
  const options = { backupDir, logger: silent };
  const made = await backupDatabase(`sqlite:${path}`, options);
  expect(made).toMatchObject({ success: true, backup: { databaseUrl: `sqlite:${path}` } });
  expect(made.durationSeconds).toBeGreaterThan(0);
  const { id = "", filePath = "", checksum, sizeBytes } = made.backup ?? {};
  expect([checksum, sizeBytes]).toEqual([digestOf(filePath), statSync(filePath).size]);
  expect(filePath).toMatch(/\.db\.gz$/);
  writeFileSync(join(directory, "by-hand.db"), gunzipSync(readFileSync(filePath)));
  expect(query(join(directory, "by-hand.db"), "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  const target = join(directory, "restored.db");
  expect(await restoreDatabase(id, `sqlite:${target}`, options)).toMatchObject({
    success: true,
    backup: made.backup,
  });
  expect(counts(target)).toEqual([100, 100]);

  const failed = await backupDatabase(`sqlite:${directory}/nothing.db`, options);
  expect(failed).toMatchObject({ success: false, error: expect.stringContaining("nothing.db") });
  expect(failed.backup).toBeUndefined();
  const unknown = await backupDatabase("oracle://user:secret@host/db", options);
  expect(unknown).toMatchObject({ success: false, error: expect.not.stringContaining("secret") });
  expect(await restoreDatabase("none", `sqlite:${target}`, options)).toMatchObject({ success: false });
  writeFileSync(filePath, "cut");
  expect(await restoreDatabase(id, `sqlite:${target}`, options)).toMatchObject({
    error: expect.stringContaining("damaged"),
  });
  expect(counts(target)).toEqual([100, 100]);
  await expect(backupDatabase(7 as never, options)).rejects.toThrow(TypeError);
  const aborted = AbortSignal.abort(new Error("enough"));
  await expect(backupDatabase(`sqlite:${path}`, { ...options, signal: aborted })).rejects.toThrow("enough");
  expect(visible(backupDir)).toHaveLength(2);
});

/** A process that adds dumps to a manifest one after the other, and prints the id of each that it has been told is listed. */
function startAdding(path: string, backupDir: string) {
  const program = `
    const { DatabaseBackup } = await import(${JSON.stringify(join(ROOM, "database-backup.ts"))});
    const silent = { debug() {}, info() {}, warn() {}, error() {} };
    const backups = new DatabaseBackup(${JSON.stringify(backupDir)}, { logger: silent, lockTimeoutMs: 60000 });
    for (;;) process.stdout.write((await backups.backupSqlite(${JSON.stringify(path)}, "p" + process.pid)).id + "\\n");`;
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", program],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    child.emit("said");
  });
  return {
    async said(count: number): Promise<void> {
      while (output.split("\n").length <= count) await once(child, "said");
    },
    async kill(): Promise<string[]> {
      child.kill("SIGKILL");
      await once(child, "close");
      return output.split("\n").slice(0, -1);
    },
  };
}

test("several processes at once, killed at random: nothing that was told is lost, all that is listed is whole", async () => {
  const { path, backupDir, backups } = await newPlace();
  const told: string[] = [];
  for (let round = 0; round < (process.env["NIGHTLY"] === "1" ? 20 : 2); round++) {
    const adding = [1, 2, 3].map(() => startAdding(path, backupDir));
    await Promise.all(adding.map((one) => one.said(1)));
    for (const one of adding) told.push(...(await one.kill()));
    JSON.parse(readFileSync(join(backupDir, "backup_manifest.json"), "utf8"));
  }
  await backups.backupSqlite(path, "last");
  const listed = await backups.listBackups();
  const ids = new Set(listed.map(({ id }) => id));
  expect(told.filter((id) => !ids.has(id))).toEqual([]);
  expect(told.length).toBeGreaterThan(3);
  for (const { filePath, checksum } of listed)
    expect([existsSync(filePath), digestOf(filePath)]).toEqual([true, checksum]);
  expect(readdirSync(backupDir).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

test("the command-line tools of a system read what is there", async () => {
  const { path, backupDir } = await newPlace();
  const { backup } = await backupDatabase(`sqlite:${path}`, { backupDir, logger: silent });
  const { stdout } = spawnSync("sha256sum", [backup?.filePath ?? ""], { encoding: "utf8" });
  expect(stdout.split(" ")[0]).toBe(backup?.checksum);
  expect(spawnSync("gzip", ["--test", backup?.filePath ?? ""]).status).toBe(0);
});
