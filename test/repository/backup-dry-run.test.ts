import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, onTestFinished, test } from "vitest";
import { LockedError, ShrunkError, ValidationError } from "../../src/errors.ts";
import { Repository } from "../../src/repository/repository.ts";
import { silent } from "../crash/silent.ts";
import { newDirectory } from "../support/database.ts";
import { dieInside } from "../support/die-inside.ts";
import { stampOf } from "../support/files.ts";
import { rejection } from "../support/pieces.ts";

async function newPlace() {
  const directory = await newDirectory();
  const [uri, location] = [join(directory, "db"), join(directory, "vault")];
  const db = await connect(uri);
  onTestFinished(() => db.close());
  await db.createTable("documents", [{ id: 1 }, { id: 2 }]);
  await db.createTable("cache", [{ id: 1 }]);
  const repository = await Repository.init(location, { logger: silent, cache: false });
  return { directory, uri, location, db, repository };
}

test("a backup is foretold, and then is so; nothing was written, neither here nor there", async () => {
  const { directory, uri, db, repository } = await newPlace();
  const before = stampOf(directory);
  const first = await repository.backup({ source: uri, exclude: ["cache"], dryRun: true });
  expect(stampOf(directory)).toEqual(before);
  expect(first).toMatchObject({
    ...{ dryRun: true, known: { files: 0, bytes: 0 }, tables: [{ id: "documents", rows: 2 }] },
    leftOut: [{ table: "cache", why: "excluded" }],
    parts: [{ isForetold: true, source: { type: "lancedb", uri } }],
  });
  const taken = await repository.backup({ source: uri, exclude: ["cache"] });
  expect(first.read).toEqual({ files: taken.files, bytes: taken.bytes });
  await (await db.openTable("documents")).add([{ id: 3 }]);
  const between = stampOf(directory);
  const second = await repository.backup({ source: uri, exclude: ["cache"], dryRun: true });
  expect(stampOf(directory)).toEqual(between);
  expect(second.parts).toMatchObject([{ before: taken.id }]);
  const again = await repository.backup({ source: uri, exclude: ["cache"] });
  expect(second.read).toEqual({ files: again.newFiles, bytes: again.newBytes });
  expect(second.known.files).toBe(taken.files);
});

test("where the repository can only be read, too, and of several sources; what runs programs is not run", async () => {
  const { directory, uri, location } = await newPlace();
  const tree = join(directory, "tree");
  mkdirSync(tree);
  writeFileSync(join(tree, "notes.txt"), "seven b");
  const repository = await Repository.open(location, { logger: silent, cache: false, readOnly: true });
  const touch = `command:touch ${join(directory, "was-run")}`;
  const before = stampOf(directory);
  const { parts, read } = await repository.backup({ sources: [uri, tree, touch], dryRun: true });
  expect(stampOf(directory)).toEqual(before);
  expect(parts.map(({ source, isForetold }) => [source.type, isForetold])).toEqual([
    ["lancedb", true],
    ["files", true],
    ["command", false],
  ]);
  expect(parts[1]?.read.bytes).toBe(7);
  expect(read.bytes).toBeGreaterThan(7);
});

test("what would keep the backup from being taken is told", async () => {
  const { directory, uri, db, repository } = await newPlace();
  expect(await rejection(repository.backup({ source: join(uri, "not"), dryRun: true }))).toBeInstanceOf(
    ValidationError,
  );
  await repository.backup({ source: uri });
  await db.dropTable("cache");
  const shrunk = await repository.backup({ source: uri, dryRun: true });
  expect(shrunk.shrunk).toMatchObject([{ table: "cache", isGone: true }]);
  const strict = repository.backup({ source: uri, failOnShrink: 0, dryRun: true });
  expect(await rejection(strict)).toBeInstanceOf(ShrunkError);
  dieInside({ uri, backupDir: join(directory, "backups") }, `await db.dropTable("documents")`);
  const left = repository.backup({ source: uri, lockTimeoutMs: 0, dryRun: true });
  expect(await rejection(left)).toBeInstanceOf(LockedError);
});
