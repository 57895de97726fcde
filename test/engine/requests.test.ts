import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { BlobStore } from "../../src/engine/blobs/blob-store.ts";
import { Catalog } from "../../src/engine/catalog/catalog.ts";
import { snapshotName } from "../../src/engine/format/names.ts";
import { createMarker } from "../../src/engine/marker.ts";
import { Repository } from "../../src/repository/repository.ts";
import { takeContext, takeSnapshot } from "../../src/repository/take-snapshot.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { silent } from "../crash/silent.ts";
import { documentOf, makeSnapshot } from "../repository/fixture.ts";
import { newDirectory } from "../support/database.ts";
import { FaultyStorage } from "../support/faulty-storage.ts";
import { PlainSource } from "../support/plain-source.ts";

/** A repository elsewhere that counts what is asked of it. */
async function newPlace() {
  const [location, uri] = [await newDirectory(), await newDirectory()];
  const local = new LocalStorage(location);
  await createMarker(local);
  const counted = new FaultyStorage(local);
  // Elsewhere: no files that could be linked from.
  Object.defineProperty(counted, "local", { value: undefined });
  const catalog = new Catalog({ storage: counted, logger: silent });
  const context = takeContext({ blobs: new BlobStore(counted), logger: silent }, catalog, undefined);
  for (let number = 0; number < 100; number++) writeFileSync(join(uri, `file-${number}`), randomBytes(500));
  const take = async (id: string) => {
    const before = counted.calls.length;
    await takeSnapshot(context, { source: new PlainSource(uri, id) });
    return counted.calls.slice(before);
  };
  const repository = await Repository.open(counted, { logger: silent, cache: false, audit: "off" });
  const during = async (work: (repository: Repository) => Promise<unknown>) => {
    const before = counted.calls.length;
    await work(repository);
    return counted.calls.slice(before);
  };
  return { location, take, during };
}

const DOCUMENTS = 20_000;

test("a first backup beside 20,000 snapshots of others takes no more than a hundred requests besides", async () => {
  const { location, take } = await newPlace();
  mkdirSync(join(location, "snapshots"), { recursive: true });
  const alone = await take("first");
  for (let number = 0; number < DOCUMENTS; number++) {
    const content = makeSnapshot({
      at: Date.UTC(2026, 0, 1) + number * 60_000,
      sourceId: `other-${number % 500}`,
    });
    // By no storage, which would have each of them safe on the disk.
    writeFileSync(join(location, snapshotName(content.snapshot.id)), documentOf(content));
  }
  const among = await take("second");
  const pages = DOCUMENTS / 1000;
  expect(among.length - alone.length + pages).toBeLessThanOrEqual(100);
});

test("a snapshot with nothing changed reads the one before it once", async () => {
  const { take } = await newPlace();
  await take("mine");
  const again = await take("mine");
  expect(again.filter(({ method }) => method === "read").map(({ name }) => name)).toHaveLength(1);
  const listings = again.filter(({ method }) => method === "list");
  expect(listings).toHaveLength(2);
  expect(again.length - listings.length).toBeLessThanOrEqual(10);
});

test("the document of the one snapshot that is verified is read once", async () => {
  const { take, during } = await newPlace();
  await take("mine");
  for (const id of ["latest", undefined]) {
    const calls = await during((repository) => repository.verify(id));
    const whole = calls.filter(({ method, name }) => method === "read" && name.startsWith("snapshots/"));
    expect(whole).toHaveLength(id === undefined ? 1 : 2); // by its name it is looked up in a listing first
  }
});
