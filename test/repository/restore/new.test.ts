import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { blobName } from "../../../src/engine/format/names.ts";
import { UnsupportedError, ValidationError } from "../../../src/index.ts";
import type { RestoreOptions } from "../../../src/sources/lancedb/restore/restore-options.ts";
import { filesBelow, stampOf } from "../../support/files.ts";
import { sampleRows } from "../../support/sample.ts";
import { snapshotOf } from "../../support/snapshot.ts";
import { filesOf, takeSnapshot } from "../sound.ts";
import { elsewhere, makeAllKinds, newRestorePlace, restoreTo, showing } from "./kinds.ts";

describe("a new directory shows what the database showed", () => {
  test.each([
    ["by copies", {}, false],
    ["by links", { link: true }, false],
    ["unverified", { verify: false }, false],
    ["by linking unverified", { link: true, verify: false }, false],
    ["by one thread", { parallel: 1 }, false],
    ["from elsewhere", {}, true],
  ] as [string, Partial<RestoreOptions>, boolean][])("%s", async (_how, options, isElsewhere) => {
    const { db, uri, storage, directory } = await newRestorePlace();
    await makeAllKinds(db);
    const before = await snapshotOf(db);
    const content = await takeSnapshot(storage, uri);
    await (await db.openTable("main")).add(sampleRows(500, 5));
    const target = join(directory, "deep", "inner", "restored");

    const report = await restoreTo(isElsewhere ? elsewhere(storage) : storage, content, {
      target,
      ...options,
    });

    expect(await showing(target)).toEqual(before);
    expect(readdirSync(join(directory, "deep", "inner"))).toEqual(["restored"]);
    expect(report).toMatchObject({
      ...{ snapshot: content.snapshot.id, target, mode: "new", dryRun: false, leftOut: [], leftAlone: [] },
      ...{ files: content.snapshot.files, bytes: content.snapshot.bytes },
    });
    expect(report.tables.map(({ id, action }) => [id, action])).toEqual(
      content.snapshot.tables.map(({ id }) => [id, "create"]),
    );
    const restored = await connect(target);
    const main = await restored.openTable("main");
    expect((await main.listVersions()).length).toBe(
      content.snapshot.tables.find((t) => t.id === "main")?.versionCount,
    );
    expect(Object.keys(await (await main.tags()).list()).sort()).toEqual(["newest", "second"]);
    await main.add(sampleRows(900, 1));
    await main.optimize({ cleanupOlderThan: new Date() }).catch(() => undefined); // old tags make it throw
    expect(await main.countRows("id = 900")).toBe(1);
  });

  test("an empty directory is taken, with its mode, also through a symbolic link", async () => {
    const { db, uri, storage, directory } = await newRestorePlace();
    await db.createTable("main", sampleRows(0, 5));
    const content = await takeSnapshot(storage, uri);
    mkdirSync(join(directory, "empty"), { mode: 0o710 });
    symlinkSync(join(directory, "empty"), join(directory, "link"));
    await restoreTo(storage, content, { target: join(directory, "link") });
    expect(await showing(join(directory, "empty"))).toEqual(await snapshotOf(db));
    expect(statSync(join(directory, "empty")).mode & 0o777).toBe(0o710);
  });

  test("copied files can be written to by their owner, and share nothing with the blobs", async () => {
    const { db, uri, storage, directory } = await newRestorePlace();
    await db.createTable("main", sampleRows(0, 5));
    const content = await takeSnapshot(storage, uri);
    const target = join(directory, "restored");
    await restoreTo(storage, content, { target });
    for (const { path, sha256 } of filesOf(content)) {
      const [file, blob] = [join(target, "main.lance", path), join(storage.directory, blobName(sha256))].map(
        (p) => statSync(p),
      );
      expect(file!.mode & 0o200).toBe(0o200);
      expect(file!.ino).not.toBe(blob!.ino);
    }
  });

  test("linked files are the blobs", async () => {
    const { db, uri, storage, directory } = await newRestorePlace();
    await db.createTable("main", sampleRows(0, 5));
    const content = await takeSnapshot(storage, uri);
    const target = join(directory, "restored");
    await restoreTo(storage, content, { target, link: true });
    for (const { path, sha256 } of filesOf(content)) {
      const inode = (path: string) => statSync(path).ino;
      expect(inode(join(target, "main.lance", path))).toBe(inode(join(storage.directory, blobName(sha256))));
    }
  });
});

describe("some tables", () => {
  test("alone; namespaces do not name the others", async () => {
    const { db, uri, storage, directory } = await newRestorePlace();
    await makeAllKinds(db);
    const before = await snapshotOf(db);
    const content = await takeSnapshot(storage, uri);
    const target = join(directory, "restored");
    const report = await restoreTo(storage, content, { target, tables: ["main", "ns$spaced"] });
    expect(await showing(target)).toEqual({ main: before["main"], ns$spaced: before["ns$spaced"] });
    expect(report.tables.map(({ id }) => id).sort()).toEqual(["__manifest", "main", "ns$spaced"]);
    expect(report.leftOut.map(({ table }) => table)).toEqual(["ns$inner$deep"]);
    const restored = await connect(target);
    await restored.createTable("deep", sampleRows(0, 3), ["ns", "inner"]);
    expect(await restored.tableNames(["ns", "inner"])).toEqual(["deep"]);
  });

  test("of a database without namespaces", async () => {
    const { db, uri, storage, directory } = await newRestorePlace();
    await db.createTable("main", sampleRows(0, 5));
    await db.createTable("other", sampleRows(0, 5));
    const content = await takeSnapshot(storage, uri);
    const target = join(directory, "restored");
    await restoreTo(storage, content, { target, tables: ["other"] });
    expect(readdirSync(target)).toEqual(["other.lance"]);
  });
});

test("a dry run says what would be done, and writes nothing", async () => {
  const { db, uri, storage, directory } = await newRestorePlace();
  await makeAllKinds(db);
  const content = await takeSnapshot(storage, uri);
  const target = join(directory, "a", "restored");
  const before = stampOf(directory);
  const report = await restoreTo(storage, content, { target, dryRun: true });
  expect(stampOf(directory)).toEqual(before);
  const { durationMs, ...rest } = await restoreTo(storage, content, { target });
  expect({ ...rest, dryRun: true, durationMs: report.durationMs }).toEqual(report);
  expect(durationMs).toBeGreaterThan(0);
});

test("progress comes to all files and bytes", async () => {
  const { db, uri, storage, directory } = await newRestorePlace();
  await makeAllKinds(db);
  const content = await takeSnapshot(storage, uri);
  const { files, bytes } = content.snapshot;
  for (const [name, link] of [
    ["a", false],
    ["b", true],
  ] as const) {
    const seen: [number, number][] = [];
    await restoreTo(storage, content, {
      target: join(directory, name),
      link,
      onProgress: (progress) => {
        expect(progress).toMatchObject({ phase: "write", totalFiles: files, totalBytes: bytes });
        seen.push([progress.files, progress.bytes]);
      },
    });
    expect(seen.length).toBe(files);
    expect(seen).toEqual(seen.toSorted((a, b) => a[0] - b[0]));
    expect(seen.at(-1)).toEqual([files, bytes]);
  }
});

describe("refused before anything is written", () => {
  const bad: [string, (directory: string) => object, RegExp][] = [
    ["a target that is not empty", (d) => ({ target: join(d, "db") }), /not empty/],
    ["a file as the target", (d) => ({ target: join(d, "file") }), /is a file/],
    ["a target below a file", (d) => ({ target: join(d, "file", "x") }), /is a file/],
    ["a target in the repository", (d) => ({ target: join(d, "repository", "x") }), /lies in the repository/],
    ["no tables", (d) => ({ target: join(d, "x"), tables: [] }), /tables is empty/],
    ["a table that is not there", (d) => ({ target: join(d, "x"), tables: ["nope"] }), /"nope".*main/],
    [
      "a version that is not there",
      (d) => ({ target: join(d, "x"), versions: { main: 99 } }),
      /no version 99.*1-/,
    ],
    ["a version of no table", (d) => ({ target: join(d, "x"), versions: { nope: 1 } }), /"nope".*main/],
    [
      "a version beside the tables",
      (d) => ({ target: join(d, "x"), tables: ["other"], versions: { main: 1 } }),
      /main/,
    ],
    ["half a version", (d) => ({ target: join(d, "x"), versions: { main: 1.5 } }), /1.5 is not a version/],
    ["no time", (d) => ({ target: join(d, "x"), at: new Date("never") }), /no valid time/],
    ["a time before all", (d) => ({ target: join(d, "x"), at: new Date(0) }), /no table that is as old/],
    ["a mode that is not there", (d) => ({ target: join(d, "x"), mode: "over" }), /mode must be/],
    ["no threads", (d) => ({ target: join(d, "x"), parallel: 0 }), /parallel/],
    ["links in place", (d) => ({ target: join(d, "db"), mode: "in-place", link: true }), /link is for new/],
    ["no database in place", (d) => ({ target: join(d, "x"), mode: "in-place" }), /There is no database/],
  ];
  test.each(bad)("%s", async (_what, options, message) => {
    const { db, uri, storage, directory } = await newRestorePlace();
    const main = await db.createTable("main", sampleRows(0, 5));
    await main.add(sampleRows(5, 5));
    await db.createTable("other", sampleRows(0, 5));
    const content = await takeSnapshot(storage, uri);
    writeFileSync(join(directory, "file"), "");
    const before = stampOf(directory);
    const outcome = restoreTo(storage, content, options(directory) as RestoreOptions);
    await expect(outcome).rejects.toThrow(ValidationError);
    await expect(outcome).rejects.toThrow(message);
    expect(stampOf(directory)).toEqual(before);
  });

  test("what is of the wrong type, or elsewhere", async () => {
    const { db, uri, storage, directory } = await newRestorePlace();
    await db.createTable("main", sampleRows(0, 5));
    const content = await takeSnapshot(storage, uri);
    const target = join(directory, "x");
    const attempt = (options: object) => restoreTo(storage, content, options as RestoreOptions);
    await expect(attempt({ target: 1 })).rejects.toThrow(TypeError);
    await expect(attempt({ target, tables: "main" })).rejects.toThrow(TypeError);
    await expect(attempt({ target, at: 1 })).rejects.toThrow(TypeError);
    await expect(attempt({ target, versions: { main: "1" } })).rejects.toThrow(TypeError);
    await expect(attempt({ target, link: 1 })).rejects.toThrow(TypeError);
    await expect(attempt({ target: "s3://bucket/x" })).rejects.toThrow(UnsupportedError);
    await expect(restoreTo(elsewhere(storage), content, { target, link: true })).rejects.toThrow(
      UnsupportedError,
    );
    expect(existsSync(target)).toBe(false);
  });
});

test("what dead restores left is swept by the next to the same target, what a live one makes stays", async () => {
  const { db, uri, storage, directory } = await newRestorePlace();
  await db.createTable("main", sampleRows(0, 5));
  const content = await takeSnapshot(storage, uri);
  const { PROCESS_TOKEN } = await import("../../../src/fs/this-process.ts");
  const [host, bootId, pidNamespace] = JSON.parse(Buffer.from(PROCESS_TOKEN, "base64url").toString());
  const dead = Buffer.from(JSON.stringify([host, bootId, pidNamespace, 4_000_000, "1"])).toString(
    "base64url",
  );
  const leftover = (name: string, owner: string) =>
    mkdirSync(join(directory, name, owner, "main.lance"), { recursive: true });
  const { id } = content.snapshot;
  leftover(`restored.partial-${id}-00000001`, dead);
  leftover(`restored.partial-${id}-00000002`, PROCESS_TOKEN);
  leftover(`restored.partial-${id}-00000003`, "of somebody else");
  leftover(`restored2.partial-${id}-00000004`, dead);
  leftover("restored.partial-mine", dead);
  mkdirSync(join(directory, `restored.partial-${id}-00000005`));
  await restoreTo(storage, content, { target: join(directory, "restored") });
  expect(readdirSync(directory).sort()).toEqual([
    ...["db", "repository", "restored", `restored.partial-${id}-00000002`, `restored.partial-${id}-00000003`],
    ...["restored.partial-mine", `restored2.partial-${id}-00000004`],
  ]);
  expect(filesBelow(join(directory, "restored")).length).toBe(content.snapshot.files);
});
