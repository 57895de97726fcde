import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ValidationError } from "../../src/errors.ts";
import { Repository } from "../../src/repository/repository.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { silent } from "../crash/silent.ts";
import { newDirectory } from "../support/database.ts";
import { stampOf } from "../support/files.ts";
import { rejection } from "../support/pieces.ts";
import { putBlobs, putSnapshot } from "./fixture.ts";
import { tableOf } from "./prune/place.ts";

async function newRepository() {
  const location = join(await newDirectory(), "vault");
  const repository = await Repository.init(location, { logger: silent });
  return { location, repository, storage: new LocalStorage(location) };
}

test("room is told by the newest snapshots, their history and what nothing needs, and by source", async () => {
  const { location, repository, storage } = await newRepository();
  const put = (at: string, uri: string, ...contents: string[]) =>
    putSnapshot(storage, { at, uri, tables: tableOf(...contents) });
  await put("2026-01-01T00:00:00Z", "/a", "shared", "old of a");
  await put("2026-01-02T00:00:00Z", "/a", "shared", "new of a!");
  await put("2026-01-03T00:00:00Z", "/b", "shared", "of b");
  await putBlobs(storage, "orphan");
  const before = stampOf(location);
  const stats = await repository.stats();
  expect(stats).toMatchObject({
    snapshots: 3,
    all: { blobs: 5, bytes: 33 },
    newest: { blobs: 3, bytes: 19 },
    history: { blobs: 1, bytes: 8 },
    orphans: { blobs: 1, bytes: 6 },
    unreadable: [],
    prune: { removed: 0, now: { blobs: 0, bytes: 0 }, later: { blobs: 1, bytes: 6 } },
  });
  expect(stats.sources).toMatchObject([
    {
      ...{ source: { uri: "/a" }, snapshots: 2, oldest: new Date("2026-01-01T00:00:00Z") },
      ...{ all: { blobs: 3, bytes: 23 }, current: { blobs: 2, bytes: 15 }, own: { blobs: 2, bytes: 17 } },
    },
    { source: { uri: "/b" }, snapshots: 1, all: { bytes: 10 }, own: { bytes: 4 } },
  ]);
  const ruled = await repository.stats({ policy: { keepLast: 1 } });
  expect(ruled.prune).toEqual({
    ...{ removed: 1, now: { blobs: 0, bytes: 0 }, later: { blobs: 2, bytes: 14 } },
  });
  expect(stampOf(location)).toEqual(before);
});

test("a snapshot that cannot be read is named, and no prune is foretold", async () => {
  const { location, repository, storage } = await newRepository();
  const { id } = await putSnapshot(storage, { at: "2026-01-01T00:00:00Z" });
  writeFileSync(join(location, "snapshots", `${id}.json`), "{");
  const stats = await repository.stats();
  expect(stats).toMatchObject({ snapshots: 0, orphans: { blobs: 1 }, unreadable: [id] });
  expect(stats.prune).toBeUndefined();
  const misspelt = { polcy: {} } as object;
  expect(await rejection(repository.stats(misspelt))).toBeInstanceOf(ValidationError);
  expect(await rejection(repository.stats({ policy: { keepLast: 0 } }))).toBeInstanceOf(ValidationError);
});
