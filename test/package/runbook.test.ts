import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { Repository } from "../../src/index.ts";
import { newDirectory } from "../support/database.ts";
import { dieInside } from "../support/die-inside.ts";

// Every command of docs/runbook.md is run as it stands there, on a database to which the thing has happened.

const ROOT = join(import.meta.dirname, "../..");

/** The blocks of shell below each heading. */
function blocks(): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const text = readFileSync(join(ROOT, "docs/runbook.md"), "utf8");
  for (const section of text.split(/^#+ /m).slice(1)) {
    const title = section.slice(0, section.indexOf("\n"));
    found.set(
      title,
      [...section.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block = ""]) => block),
    );
  }
  return found;
}

/** A project with a database of three rows, and a repository with a snapshot of it. */
class Place {
  readonly directory: string;
  readonly database: string;
  /** When the three rows were there. */
  moment = new Date();

  private constructor(directory: string) {
    this.directory = directory;
    this.database = join(directory, "data/lancedb-table");
  }

  static async make(): Promise<Place> {
    const place = new Place(await newDirectory());
    const bin = join(place.directory, "bin");
    mkdirSync(bin);
    const command = `${JSON.stringify(process.execPath)} ${JSON.stringify(join(ROOT, "dist/cli/main.js"))}`;
    writeFileSync(join(bin, "npx"), `#!/bin/sh\nshift\nexec ${command} "$@"\n`);
    chmodSync(join(bin, "npx"), 0o755);
    const db = await connect(place.database);
    await db.createTable("documents", [{ id: 1 }, { id: 2 }, { id: 3 }]);
    await sleep(1100); // moments are told to the second
    place.moment = new Date();
    db.close();
    await place.backup();
    return place;
  }

  async backup(): Promise<void> {
    const location = join(this.directory, "vault");
    const exists = readdirSync(this.directory).includes("vault");
    await using vault = exists ? await Repository.open(location) : await Repository.init(location);
    await vault.backup({ source: this.database });
  }

  /** Runs a section's commands, each block by itself, and answers with what each command ended with. */
  run(title: string): { readonly command: string; readonly status: number | null; readonly text: string }[] {
    const path = `${join(this.directory, "bin")}${delimiter}${dirname(process.execPath)}${delimiter}${process.env["PATH"]}`;
    const env = {
      ...process.env,
      PATH: path,
      LANCEDB_LOG: "off",
      NO_COLOR: "1",
      LANCEDB_BACKUP_REPO: "./vault",
    };
    const moment = `${this.moment.toISOString().slice(0, 19)}Z`;
    const lines = (blocks().get(title) ?? []).flatMap((block) => block.trim().split("\n"));
    expect(lines.length, title).toBeGreaterThan(0);
    return lines.map((line) => {
      const command = line.replace("2026-11-21 02:39", moment);
      const ran: SpawnSyncReturns<string> = spawnSync("sh", ["-c", command], {
        cwd: this.directory,
        env,
        encoding: "utf8",
      });
      return { command, status: ran.status, text: ran.stdout + ran.stderr };
    });
  }

  async ids(database = this.database): Promise<number[]> {
    const db = await connect(database);
    const rows = await (await db.openTable("documents")).query().toArray();
    db.close();
    return rows.map(({ id }: { id: number }) => id).sort();
  }
}

const statuses = (ran: readonly { status: number | null }[]) => ran.map(({ status }) => status);

/** Turns a bit of a file's middle. */
function damage(path: string): void {
  const bytes = readFileSync(path);
  const { mode } = statSync(path);
  chmodSync(path, 0o644);
  bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1);
  writeFileSync(path, bytes);
  chmodSync(path, mode);
}

test("a first look", async () => {
  const place = await Place.make();
  const ran = place.run("When something went wrong");
  expect(statuses(ran), JSON.stringify(ran)).toEqual([0, 0, 0]);
});

test("rows were deleted", async () => {
  const place = await Place.make();
  const db = await connect(place.database);
  await (await db.openTable("documents")).delete("id > 1");
  db.close();
  await place.backup();
  const ran = place.run("Rows were deleted at 02:40");
  expect(statuses(ran), JSON.stringify(ran)).toEqual([0, 0, 0, 0, 0, 0, 0]);
  expect(ran[2]?.text).toContain("2 rows added");
  expect(await place.ids(join(place.directory, "look"))).toEqual([1, 2, 3]);
  expect(await place.ids()).toEqual([1, 2, 3]);
});

test("the disk is lost", async () => {
  const place = await Place.make();
  rmSync(join(place.directory, "data"), { recursive: true });
  const ran = place.run("The disk is lost");
  expect(statuses(ran), JSON.stringify(ran)).toEqual([0, 0, 0]);
  expect(await place.ids()).toEqual([1, 2, 3]);
});

test("a table does not open", async () => {
  const place = await Place.make();
  const data = join(place.database, "documents.lance/data");
  const [file = ""] = readdirSync(data);
  damage(join(data, file));
  const ran = place.run("A table does not open");
  expect(statuses(ran), JSON.stringify(ran)).toEqual([0, 3, 0, 0]);
  expect(await place.ids()).toEqual([1, 2, 3]);
});

test("the repository is damaged", async () => {
  const place = await Place.make();
  const blobs = join(place.directory, "vault/blobs");
  const files = readdirSync(blobs, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const [file] = files;
  damage(join(file?.parentPath ?? "", file?.name ?? ""));
  const ran = place.run("The repository is damaged");
  expect(statuses(ran), JSON.stringify(ran)).toEqual([3, 3, 0, 0]);
});

test("the repository's disk is full", async () => {
  const place = await Place.make();
  const ran = place.run("The repository's disk is full");
  expect(statuses(ran), JSON.stringify(ran)).toEqual([0, 0, 0, 0]);
});

test("a program died while it wrote", async () => {
  const place = await Place.make();
  const backupDir = join(place.directory, "data/backups");
  dieInside({ uri: place.database, backupDir }, `await (await db.openTable("documents")).delete("id > 1")`);
  const ran = place.run("A program died while it wrote");
  expect(statuses(ran), JSON.stringify(ran)).toEqual([0, 0, 0]);
  expect(await place.ids()).toEqual([1, 2, 3]);
});

test("a lock that nobody holds", async () => {
  const place = await Place.make();
  const ran = place.run("A lock that nobody holds");
  expect(statuses(ran), JSON.stringify(ran)).toEqual([0, 0]);
});
