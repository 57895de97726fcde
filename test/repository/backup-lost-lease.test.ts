import { rmSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { blobName } from "../../src/engine/format/names.ts";
import { createMarker } from "../../src/engine/marker.ts";
import { takeSnapshot as backup } from "../../src/repository/take-snapshot.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import type { Content, WriteOptions } from "../../src/storage/storage.ts";
import { newDirectory } from "../support/database.ts";
import { filesBelow } from "../support/files.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { TestClock } from "../support/test-clock.ts";
import { blobsOf, storedOf } from "./lance-parts.ts";
import { readDocument } from "./materialise.ts";
import { silent, takeSnapshot } from "./sound.ts";

/** A local storage at which something happens just before the first document gets its name. */
class Interrupted extends LocalStorage {
  readonly #happens: () => void;
  #done = false;

  constructor(directory: string, happens: () => void) {
    super(directory);
    this.#happens = happens;
  }

  override writeNew(name: string, content: Content, options?: WriteOptions): Promise<boolean> {
    if (name.startsWith("snapshots/") && !this.#done) {
      this.#done = true;
      this.#happens();
    }
    return super.writeNew(name, content, options);
  }
}

test("a machine sleeps before the document is written, and blobs are removed meanwhile: they are written again", async () => {
  const directory = await newDirectory();
  const [uri, location] = [join(directory, "db"), join(directory, "repository")];
  const db = await connect(uri);
  const table = await makeSampleTable(db, "main");
  const local = new LocalStorage(location);
  await createMarker(local);
  const before = await takeSnapshot(local, uri);
  await table.add(sampleRows(100, 5));
  const known = [...before.files.values()].flat();
  const clock = new TestClock();
  const storage = new Interrupted(location, () => {
    clock.sleep(2 * 60 * 60 * 1000);
    for (const { sha256 } of known.slice(0, 3)) rmSync(join(location, blobName(sha256)));
  });
  const context = { blobs: blobsOf(storage), logger: silent, previous: async () => storedOf(before), clock };
  const { id } = await backup(context, { source: uri });
  for (const { sha256 } of [...readDocument(location, id).files.values()].flat()) {
    expect(await local.stat(blobName(sha256))).toBeDefined();
  }
  expect(filesBelow(join(location, "snapshots"))).toHaveLength(2);
  expect(readDocument(location, id).snapshot.rows).toBe(44);
  db.close();
});

test("the snapshot before is read while the lease is made; where it cannot be read, none is left", async () => {
  const directory = await newDirectory();
  const [uri, location] = [join(directory, "db"), join(directory, "repository")];
  const db = await connect(uri);
  await makeSampleTable(db, "main");
  await createMarker(new LocalStorage(location));
  const { promise: leased, resolve } = Promise.withResolvers<void>();
  class Told extends LocalStorage {
    override writeNew(name: string, content: Content, options?: WriteOptions): Promise<boolean> {
      if (name.startsWith("leases/")) resolve();
      return super.writeNew(name, content, options);
    }
  }
  const context = { blobs: blobsOf(new Told(location)), logger: silent };
  const unread = new Error("unread");
  const previous = async () => {
    await leased;
    throw unread;
  };
  await expect(backup({ ...context, previous }, { source: uri })).rejects.toBe(unread);
  expect(filesBelow(join(location, "leases"))).toEqual([]);
  await backup({ ...context, previous: () => leased.then(() => undefined) }, { source: uri });
  expect(filesBelow(join(location, "snapshots"))).toHaveLength(1);
  db.close();
});
