import { cpSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, onTestFinished, test } from "vitest";
import { ValidationError } from "../../../src/errors.ts";
import { Repository } from "../../../src/repository/repository.ts";
import { silent } from "../../crash/silent.ts";
import { newDirectory } from "../../support/database.ts";
import { stampOf } from "../../support/files.ts";
import { rejection } from "../../support/pieces.ts";

async function newPlace() {
  const directory = await newDirectory();
  const [uri, location] = [join(directory, "db"), join(directory, "vault")];
  const db = await connect(uri);
  onTestFinished(() => db.close());
  const documents = await db.createTable("documents", [{ id: 1 }, { id: 2 }]);
  await db.createTable("other", [{ id: 9 }]);
  const repository = await Repository.init(location, { logger: silent });
  await repository.backup({ source: uri });
  await documents.delete("id = 1");
  const idsOf = async (name: string, at = uri) => {
    const opened = await connect(at);
    const rows = await (await opened.openTable(name)).query().toArray();
    opened.close();
    return rows.map(({ id }: { id: number }) => id).sort();
  };
  return { directory, uri, repository, db, idsOf };
}

test("a table comes back beside the live one under another name, with its history; that one stays as it is", async () => {
  const { uri, repository, db, idsOf } = await newPlace();
  const before = stampOf(join(uri, "documents.lance"));
  const request = { target: uri, mode: "in-place", as: { documents: "documents_before" } } as const;
  const planned = await repository.restore("latest", { ...request, dryRun: true });
  expect(planned.tables).toMatchObject([
    { id: "documents_before", original: "documents", directory: "documents_before.lance", action: "rebuild" },
  ]);
  const done = await repository.restore("latest", request);
  expect(done.tables).toMatchObject([{ id: "documents_before", original: "documents", rows: 2 }]);
  expect(await idsOf("documents_before")).toEqual([1, 2]);
  expect(await idsOf("documents")).toEqual([2]);
  expect(stampOf(join(uri, "documents.lance"))).toEqual(before);
  expect(await db.tableNames()).toEqual(["documents", "documents_before", "other"]);
  await (await db.openTable("documents_before")).add([{ id: 3 }]);
  // It is a table as every other: the next snapshot has it.
  expect((await repository.backup({ source: uri })).tables.map(({ id }) => id)).toContain("documents_before");
});

test("into a new directory, too, beside the others where they are named", async () => {
  const { directory, repository, idsOf } = await newPlace();
  const target = join(directory, "look");
  await repository.restore("latest", { target, tables: ["documents", "other"], as: { documents: "old" } });
  expect(readdirSync(target).filter((name) => name.endsWith(".lance"))).toEqual(["old.lance", "other.lance"]);
  expect(await idsOf("old", target)).toEqual([1, 2]);
});

test("a name that is taken, or none, is refused, and nothing changes", async () => {
  const { directory, uri, repository } = await newPlace();
  const before = stampOf(directory);
  for (const as of [
    { documents: "other" },
    { documents: "Other" },
    { documents: "documents" },
    { documents: "../other" },
    { documents: "ns$other" },
    { missing: "new" },
    { documents: "new", other: "NEW" },
    {},
  ]) {
    const restored = repository.restore("latest", { target: uri, mode: "in-place", as });
    expect(await rejection(restored), JSON.stringify(as)).toBeInstanceOf(ValidationError);
  }
  const beside = {
    target: join(directory, "new"),
    tables: ["documents", "other"],
    as: { documents: "other" },
  };
  expect(await rejection(repository.restore("latest", beside))).toBeInstanceOf(ValidationError);
  expect(stampOf(directory)).toEqual(before);
});

test("a restore that was cut off is done again: a table that is back stays, a directory without a version is taken", async () => {
  const { uri, repository, db, idsOf } = await newPlace();
  const inPlace = { target: uri, mode: "in-place" } as const;
  await repository.restore("latest", { ...inPlace, as: { documents: "documents_before" } });
  mkdirSync(join(uri, "other_before.lance", "_versions"), { recursive: true });
  mkdirSync(join(uri, "other_before.lance", "data"));
  writeFileSync(join(uri, "other_before.lance", "data", "cut-off.lance"), "half");
  const request = { ...inPlace, as: { documents: "documents_before", other: "other_before" } };
  const done = await repository.restore("latest", request);
  expect(done.tables).toMatchObject([
    { id: "documents_before", action: "keep" },
    { id: "other_before", action: "rebuild" },
  ]);
  expect([await idsOf("documents_before"), await idsOf("other_before")]).toEqual([[1, 2], [9]]);
  // What has been written to since is somebody's, and nothing is put over it.
  await (await db.openTable("documents_before")).add([{ id: 3 }]);
  const before = stampOf(uri);
  expect(await rejection(repository.restore("latest", request))).toBeInstanceOf(ValidationError);
  expect(stampOf(uri)).toEqual(before);
});

test("one that was cut off before its number was high enough is completed", async () => {
  const { directory, uri, repository, db, idsOf } = await newPlace();
  const version = 1;
  const look = join(directory, "look");
  const versions = { documents: version };
  await repository.backup({ source: uri }); // has a second version
  await repository.restore("latest", { target: look, tables: ["documents"], versions });
  cpSync(join(look, "documents.lance"), join(uri, "documents_before.lance"), { recursive: true });
  const as = { documents: "documents_before" };
  await repository.restore("latest", { target: uri, mode: "in-place", versions, as });
  expect(await idsOf("documents_before")).toEqual([1, 2]);
  expect(await (await db.openTable("documents_before")).version()).toBeGreaterThan(version + 1);
});
