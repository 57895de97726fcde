import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test, vi } from "vitest";
import { BackupManager } from "../../src/index.ts";
import { runInjected } from "../crash/injected.ts";
import { newDirectory } from "../support/database.ts";
import { dieInside } from "../support/die-inside.ts";
import { overlayOver } from "../support/overlay.ts";
import { EXPECTED, makeTables, workOn } from "./all-kinds-of-work.ts";

const PROGRAM = join(import.meta.dirname, "all-kinds-of-work.ts");
const PRELOAD = join(import.meta.dirname, "../support/refusing-file-system.ts");

/** A database in the lower layer of an overlay mount, with an upper layer that is empty yet. */
async function inAnImage(prepare: (uri: string) => Promise<unknown> = async () => undefined) {
  const place = await newDirectory();
  const image = join(place, "image");
  mkdirSync(image);
  await makeTables(join(image, "db"));
  await prepare(join(image, "db"));
  const mount = overlayOver(image, place);
  return mount === undefined ? undefined : { mount, uri: join(mount, "db") };
}

test("a database that is baked into an image: drops, rollbacks, backups and restores", async (context) => {
  const found = await inAnImage();
  if (!found) return context.skip();
  const { mount, uri } = found;
  expect(() => renameSync(join(uri, "u.lance"), join(uri, "other"))).toThrow("EXDEV");
  expect(await workOn(uri, mount)).toEqual(EXPECTED);
});

test("an image in which guarded work was cut off, and another that was, in a container, after a drop", async (context) => {
  const found = await inAnImage(async (uri) => {
    const backupDir = join(uri, "../backups");
    dieInside({ uri, backupDir }, `await (await db.openTable("t")).delete("id > 0")`);
  });
  if (!found) return context.skip();
  const { mount, uri } = found;
  const place = { uri, backupDir: join(mount, "backups") };
  dieInside(place, `await db.dropTable("u"); await db.dropTable("n", ["ns"])`);
  expect(readdirSync(uri)).not.toContain("u.lance");
  const manager = new BackupManager(place);
  expect((await manager.recover()).entries.map(({ action }) => action)).toContain("rolled-back");
  expect(readdirSync(join(uri, ".lancedb-backup/journal"))).toEqual([]);
  expect(await workOn(uri, mount)).toEqual(EXPECTED);
});

const nightly = process.env["NIGHTLY"] === "1";

test.each(nightly ? ["ENOSYS", "EOPNOTSUPP", "EACCES", "EPERM", "EXDEV", "EMLINK"] : ["ENOSYS", "EACCES"])(
  "where links are refused with %s, and directories of the database are not renamed, all is copied",
  async (errno) => {
    const place = await newDirectory();
    const uri = join(place, "db");
    await makeTables(uri);
    const env = { ...process.env, LANCEDB_LOG: "off", REFUSE_LINKS: errno, REFUSE_DIRECTORIES: uri };
    const args = ["--import", PRELOAD, PROGRAM, uri, place];
    const { stdout, stderr } = spawnSync(process.execPath, args, { env, encoding: "utf8" });
    expect(stdout, stderr).toMatch(/^\{/);
    expect(JSON.parse(stdout)).toEqual(EXPECTED);
  },
);

/** A guarded drop where directories are not renamed, killed at a call (0: none); the calls there are, where it came to its end. */
async function dropKilledAt(at: number) {
  const place = await newDirectory();
  const uri = join(place, "db");
  await makeTables(uri);
  const backupDir = join(place, "backups");
  const program = `
    const { BackupManager } = await import(${JSON.stringify(join(import.meta.dirname, "../../dist/index.js"))});
    const manager = new BackupManager(${JSON.stringify({ uri, backupDir })});
    await manager.withBackup("lance-version", (db) => db.dropTable("t"));`;
  vi.stubEnv("REFUSE_DIRECTORIES", uri);
  const argv = [process.execPath, "--import", PRELOAD, "--input-type=module", "-e", program];
  const { calls, hit } = await runInjected(argv, { at, root: uri });
  vi.unstubAllEnvs();
  return { uri, backupDir, calls, hit };
}

test("killed at any step of a drop where directories are not renamed, the table is back, with its history", async () => {
  const { calls = 0 } = await dropKilledAt(0);
  expect(calls).toBeGreaterThan(40);
  const step = nightly ? 1 : Math.ceil(calls / 8);
  const isThere: boolean[] = [];
  for (let at = 1 + Math.floor(step / 2); at <= calls; at += step) {
    const { uri, backupDir, hit } = await dropKilledAt(at);
    await new BackupManager({ uri, backupDir }).recover();
    const db = await connect(uri);
    isThere.push((await db.tableNames()).includes("t"));
    if (isThere.at(-1)) {
      const table = await db.openTable("t");
      expect(await table.countRows(), hit).toBe(3);
      await table.checkout(1);
      expect(await table.countRows(), hit).toBe(1);
    }
    db.close();
  }
  // As before the work up to its end, and as after it from then on.
  expect(isThere).toEqual([...isThere].sort().reverse());
  expect(isThere[0]).toBe(true);
});
