import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { IoError, ValidationError } from "../../../src/index.ts";
import { LanceCatalog } from "../../../src/sources/lancedb/lance-catalog.ts";
import { openSnapshot } from "../../../src/sources/lancedb/open-snapshot.ts";
import { restoreTest } from "../../../src/sources/lancedb/restore-test/restore-test.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import { runPlain } from "../../crash/plain.ts";
import { lancedb } from "../../support/database.ts";
import { otherFileSystem } from "../../support/other-file-system.ts";
import { snapshotOf } from "../../support/snapshot.ts";
import { blobsOf } from "../lance-parts.ts";
import { silent, takeSnapshot } from "../sound.ts";
import { makeAllKinds, newRestorePlace, restoreTo, sampleRows, showing } from "./kinds.ts";

describe("another file system", () => {
  test("takes copies, also into its own mount point, and no links", async () => {
    const { db, uri, storage } = await newRestorePlace();
    await makeAllKinds(db);
    const before = await snapshotOf(db);
    const content = await takeSnapshot(storage, uri);
    const mount = await otherFileSystem();
    if (!mount) return;
    const linked = restoreTo(storage, content, { target: join(mount, "linked"), link: true });
    await expect(linked).rejects.toThrow(ValidationError);
    await restoreTo(storage, content, { target: mount });
    expect(await showing(mount)).toEqual(before);
    expect(readdirSync(mount).filter((name) => name.includes("partial"))).toEqual([]);
    await expect(restoreTo(storage, content, { target: mount })).rejects.toThrow(/not empty/);
  });

  test("that has not the room: told with both numbers before anything is written", async () => {
    const { db, uri, storage } = await newRestorePlace();
    await db.createTable("main", sampleRows(0, 20_000));
    const content = await takeSnapshot(storage, uri);
    const mount = await otherFileSystem();
    if (!mount) return;
    execFileSync("mount", ["-o", "remount,size=1m", mount]);
    const outcome = restoreTo(storage, content, { target: join(mount, "restored") });
    await expect(outcome).rejects.toThrow(IoError);
    await expect(outcome).rejects.toThrow(/needs \d+ bytes, and \d+ are free \(ENOSPC\)/);
    expect(readdirSync(mount)).toEqual([]);
  });

  test("that fills up meanwhile: nothing is left", async () => {
    const { db, uri, storage } = await newRestorePlace();
    await db.createTable("main", sampleRows(0, 20_000));
    await db.createTable("other", sampleRows(0, 20_000, 1));
    const content = await takeSnapshot(storage, uri);
    const mount = await otherFileSystem();
    if (!mount) return;
    execFileSync("mount", ["-o", `remount,size=${Math.ceil(content.snapshot.bytes * 1.2)}`, mount]);
    const outcome = restoreTo(storage, content, {
      target: join(mount, "restored"),
      parallel: 1,
      onProgress: ({ files }) =>
        files === 1 && writeFileSync(join(mount, "greedy"), Buffer.alloc(content.snapshot.bytes * 0.6)),
    });
    await expect(outcome).rejects.toThrow(/ENOSPC/);
    expect(readdirSync(mount)).toEqual(["greedy"]);
  });

  test("that is read-only is told, and nothing is changed", async () => {
    const { db, uri, storage } = await newRestorePlace();
    await db.createTable("main", sampleRows(0, 20));
    const content = await takeSnapshot(storage, uri);
    const mount = await otherFileSystem();
    if (!mount) return;
    execFileSync("mount", ["-o", "remount,ro", mount]);
    for (const target of [join(mount, "restored"), mount]) {
      await expect(restoreTo(storage, content, { target })).rejects.toThrow(/EROFS/);
    }
  });
});

test("a repository that is read-only is restored from, opened and tested", async () => {
  const { db, uri, storage } = await newRestorePlace();
  await makeAllKinds(db);
  const before = await snapshotOf(db);
  await takeSnapshot(storage, uri);
  const mount = await otherFileSystem();
  if (!mount) return;
  const remote = new LocalStorage(join(mount, "repository"));
  execFileSync("cp", ["-a", storage.directory, remote.directory]);
  execFileSync("mount", ["-o", "remount,ro", mount]);
  const catalog = new LanceCatalog({ storage: remote, logger: silent });
  const content = await catalog.content(await catalog.resolve("latest"));
  await restoreTo(remote, content, { target: `${uri}-restored` });
  expect(await showing(`${uri}-restored`)).toEqual(before);
  {
    await using opened = await openSnapshot({ blobs: blobsOf(remote), lancedb }, content);
    expect(await snapshotOf(opened)).toEqual(before);
  }
  const results = await restoreTest({ blobs: blobsOf(remote), logger: silent, lancedb }, content);
  expect(results.filter(({ ok }) => !ok)).toEqual([]);
});

test("a process with a repository loads LanceDB's library only for what needs it", async () => {
  const { db, uri, storage, directory } = await newRestorePlace();
  await makeAllKinds(db);
  const program = join(import.meta.dirname, "program.ts");
  const run = async (options: object) => {
    const task = { repository: storage.directory, source: uri, options };
    const { stdout, stderr } = await runPlain([process.execPath, program, JSON.stringify(task)]);
    expect(stderr).toBe("");
    return (JSON.parse(stdout) as { isLoaded: boolean }).isLoaded;
  };
  expect(await run({ target: join(directory, "a"), tables: ["main"] })).toBe(false);
  expect(await run({ target: join(directory, "b"), versions: { main: 2 }, tables: ["main"] })).toBe(false);
  // The list of namespaces is looked through.
  expect(await run({ target: join(directory, "c") })).toBe(true);
  expect(await run({ target: uri, mode: "in-place" })).toBe(true);
});

test("a directory around the target that cannot be written to, by another user", async () => {
  const { db, uri, storage, directory } = await newRestorePlace();
  await db.createTable("main", sampleRows(0, 20));
  const content = await takeSnapshot(storage, uri);
  const parent = join(directory, "closed");
  mkdirSync(join(parent, "own"), { recursive: true });
  if (process.getuid?.() !== 0) return;
  execFileSync("chown", ["65534", join(parent, "own")]);
  execFileSync("chmod", ["-R", "a+rX", directory]);
  chmodSync(parent, 0o755);
  onTestFinished(() => chmodSync(parent, 0o755));
  // As that user: the target itself can be written to, and is taken from inside.
  const program = join(import.meta.dirname, "program.ts");
  const task = {
    repository: storage.directory,
    snapshot: content.snapshot.id,
    options: { target: join(parent, "own") },
  };
  const asNobody = [
    "setpriv",
    "--reuid=65534",
    "--clear-groups",
    process.execPath,
    program,
    JSON.stringify(task),
  ];
  const { stderr } = await runPlain(asNobody);
  if (/EACCES|Cannot find module|permission/i.test(stderr)) return; // this checkout cannot be read by others
  expect(existsSync(join(parent, "own", "main.lance"))).toBe(true);
  expect(statSync(join(parent, "own", "main.lance")).uid).toBe(65534);
  expect(readdirSync(join(parent, "own"))).toEqual(["main.lance"]);
});
