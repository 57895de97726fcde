import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Connection, Index } from "@lancedb/lancedb";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { ValidationError } from "../../../src/index.ts";
import { openSnapshot } from "../../../src/sources/lancedb/open-snapshot.ts";
import { type LocalStorage, LocalStorage as Storage } from "../../../src/storage/local-storage.ts";

import { runPlain } from "../../crash/plain.ts";
import { lancedb, newDirectory } from "../../support/database.ts";
import { filesBelow } from "../../support/files.ts";
import { arrangeTables, KINDS_OF_WORK } from "../../support/kinds-of-work.ts";
import { makeSampleTable } from "../../support/sample.ts";
import { snapshotOf, snapshotOfTable } from "../../support/snapshot.ts";
import { blobsOf } from "../lance-parts.ts";
import { filesOf, takeSnapshot } from "../sound.ts";
import { elsewhere, makeAllKinds, newRestorePlace, sampleRows } from "./kinds.ts";

/** Every blob by name: digest, and what a change of it would change. */
function blobFiles({ directory }: LocalStorage): Record<string, unknown> {
  const blobs = filesBelow(join(directory, "blobs"));
  return Object.fromEntries(
    blobs.map((name) => {
      const path = join(directory, "blobs", name);
      const { ino, size, mtimeMs, mode } = lstatSync(path);
      const digest = createHash("sha256").update(readFileSync(path)).digest("hex");
      return [name, { ino, size, mtimeMs, mode, digest }];
    }),
  );
}

const opened = (directory: string) =>
  readdirSync(directory).filter((name) => /^(\.open-|lancedb-backup-open-)/.test(name));

/** A storage whose directory lies on a file system without links from there: only symbolic ones can be made. */
async function symlinked(storage: LocalStorage): Promise<LocalStorage> {
  const { execFileSync } = await import("node:child_process");
  const { otherFileSystem } = await import("../../support/other-file-system.ts");
  const mount = await otherFileSystem();
  if (!mount) throw new Error("no other file system");
  execFileSync("cp", ["-a", storage.directory, join(mount, "repository")]);
  execFileSync("mount", ["-o", "remount,ro", mount]);
  return new Storage(join(mount, "repository"));
}

describe.each(["links", "symbolic links", "fetched files"])("by %s", (how) => {
  const placeOf = async (storage: LocalStorage) =>
    how === "links" ? storage : how === "symbolic links" ? symlinked(storage) : elsewhere(storage);

  test("shows what the database showed, and goes without a trace", async () => {
    const { db, uri, storage } = await newRestorePlace();
    await makeAllKinds(db);
    const before = await snapshotOf(db);
    const content = await takeSnapshot(storage, uri);
    const place = await placeOf(storage);
    // Other tests open snapshots in the machine's own.
    vi.stubEnv("TMPDIR", await newDirectory());
    onTestFinished(() => void vi.unstubAllEnvs());
    const root = how === "links" ? storage.directory : tmpdir();
    const earlier = opened(root);
    {
      await using snapshot = await openSnapshot({ blobs: blobsOf(place), lancedb }, content);
      expect(await snapshotOf(snapshot)).toEqual(before);
      const [name] = opened(root).filter((name) => !earlier.includes(name));
      const files = filesBelow(join(root, name!, "database"));
      expect(files.length).toBe(content.snapshot.files);
      const kinds = new Set(
        files
          .map((path) => lstatSync(join(root, name!, "database", path)))
          .map((stat) => (stat.isSymbolicLink() ? "symbolic" : stat.nlink > 1 ? "hard" : "own")),
      );
      expect([...kinds]).toEqual([how === "links" ? "hard" : how === "symbolic links" ? "symbolic" : "own"]);
    }
    expect(opened(root)).toEqual(earlier);
  });

  test("what is written there, of any kind, reaches no blob, and no other that is open", async () => {
    const { db, uri, storage } = await newRestorePlace();
    await arrangeTables(db);
    const before = await snapshotOf(db);
    const content = await takeSnapshot(storage, uri);
    const place = await placeOf(storage);
    const blobs = blobFiles(storage);
    const another = await openSnapshot({ blobs: blobsOf(place), lancedb }, content);
    for (const { name, run } of KINDS_OF_WORK) {
      const snapshot = await openSnapshot({ blobs: blobsOf(place), lancedb }, content);
      await run(snapshot);
      await workMore(snapshot);
      expect(await snapshotOf(snapshot), name).not.toEqual(before);
      expect(await snapshotOf(another), name).toEqual(before);
      await snapshot[Symbol.asyncDispose]();
      await snapshot[Symbol.asyncDispose]();
      expect(blobFiles(storage), name).toEqual(blobs);
    }
    expect(await snapshotOf(another)).toEqual(before);
    await another[Symbol.asyncDispose]();
    expect(blobFiles(storage)).toEqual(blobs);
  });
});

/** What LanceDB does to files that are there: compaction, cleanup, indices, dropping all. */
async function workMore(db: Connection): Promise<void> {
  for (const name of await db.tableNames()) {
    const table = await db.openTable(name);
    if ((await table.schema()).fields.some((field) => field.name === "group")) {
      await table.createIndex("group", { config: Index.bitmap() });
    }
    await table.delete("id = 1");
    await table.optimize({ cleanupOlderThan: new Date(Date.now() + 60_000), deleteUnverified: true });
  }
  await db.dropAllTables();
}

test("some tables, at a version or a moment", async () => {
  const { db, uri, storage } = await newRestorePlace();
  await makeAllKinds(db);
  const content = await takeSnapshot(storage, uri);
  await using snapshot = await openSnapshot({ blobs: blobsOf(storage), lancedb }, content, {
    tables: ["main", "ns$spaced"],
    versions: { main: 2 },
  });
  const table = await db.openTable("main");
  await table.checkout(2);
  expect(await snapshotOfTable(await snapshot.openTable("main"))).toEqual(await snapshotOfTable(table));
  expect(Object.keys(await snapshotOf(snapshot))).toEqual(["main", "ns$spaced"]);
  await expect(
    openSnapshot({ blobs: blobsOf(storage), lancedb }, content, { tables: ["nope"] }),
  ).rejects.toThrow(ValidationError);
  await expect(
    openSnapshot({ blobs: blobsOf(storage), lancedb }, content, { at: new Date(0) }),
  ).rejects.toThrow(ValidationError);
  await expect(openSnapshot({ blobs: blobsOf(storage), lancedb }, content, 1 as never)).rejects.toThrow(
    TypeError,
  );
});

test("stays readable when its blobs are removed", async () => {
  const { db, uri, storage } = await newRestorePlace();
  await makeSampleTable(db, "main", { indices: true });
  const before = await snapshotOf(db);
  await using snapshot = await openSnapshot(
    { blobs: blobsOf(storage), lancedb },
    await takeSnapshot(storage, uri),
  );
  rmSync(join(storage.directory, "blobs"), { recursive: true });
  expect(await snapshotOf(snapshot)).toEqual(before);
});

test("what a dead process left is swept by the next", async () => {
  const { db, uri, storage } = await newRestorePlace();
  await db.createTable("main", sampleRows(0, 5));
  const content = await takeSnapshot(storage, uri);
  const program = `
    import { LocalStorage } from ${JSON.stringify(join(import.meta.dirname, "../../../src/storage/local-storage.ts"))};
    import { BlobStore } from ${JSON.stringify(join(import.meta.dirname, "../../../src/engine/blobs/blob-store.ts"))};
    import { makeScratch } from ${JSON.stringify(join(import.meta.dirname, "../../../src/engine/scratch.ts"))};
    await makeScratch(new BlobStore(new LocalStorage(${JSON.stringify(storage.directory)})));
    process.kill(process.pid, "SIGKILL");`;
  const { signal, stderr } = await runPlain([
    process.execPath,
    "--input-type=module-typescript",
    "-e",
    program,
  ]);
  expect([signal, stderr]).toEqual(["SIGKILL", ""]);
  expect(opened(storage.directory).length).toBe(1);
  mkdirSync(join(storage.directory, ".open-of-somebody-else"));
  writeFileSync(join(storage.directory, ".open-of-somebody-else", "x"), "");
  {
    await using snapshot = await openSnapshot({ blobs: blobsOf(storage), lancedb }, content);
    expect(await snapshot.tableNames()).toEqual(["main"]);
    expect(opened(storage.directory).length).toBe(2);
  }
  expect(opened(storage.directory)).toEqual([".open-of-somebody-else"]);
});

test("300 files are opened in milliseconds of a processor", async () => {
  const { db, uri, storage } = await newRestorePlace();
  for (let n = 0; n < 3; n++) {
    const table = await db.createTable(`t${n}`, sampleRows(0, 1));
    for (let version = 0; version < 48; version++) await table.add(sampleRows(version, 1));
  }
  const content = await takeSnapshot(storage, uri);
  expect(content.snapshot.files).toBeGreaterThan(290);
  const times: number[] = [];
  for (let n = 0; n < 20; n++) {
    const started = process.cpuUsage();
    await using _snapshot = await openSnapshot({ blobs: blobsOf(storage), lancedb }, content);
    const { user, system } = process.cpuUsage(started);
    times.push((user + system) / 1000);
  }
  expect(filesOf(content, "t0").length).toBeGreaterThan(90);
  expect(existsSync(storage.directory)).toBe(true);
  expect(times.sort((a, b) => a - b)[2]).toBeLessThan(25);
});
