import { readdirSync } from "node:fs";
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
