import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, onTestFinished, test } from "vitest";
import { Repository } from "../../../src/repository/repository.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import { newDirectory } from "../../support/database.ts";
import { FaultyStorage } from "../../support/faulty-storage.ts";
import { makeSampleTable, sampleRows } from "../../support/sample.ts";
import { silent } from "../sound.ts";
import { assertWhole, newSource, newTarget } from "./places.ts";

test("while a backup writes to the source and prunes run in both", async () => {
  const source = await newSource({ large: false });
  const { repository } = await newTarget(true);
  // A database of its own that is backed up to the target, and whose snapshots go again.
  const other = join(await newDirectory(), "other");
  const db = await connect(other);
  onTestFinished(() => db.close());
  const table = await makeSampleTable(db, "others");
  const main = await source.db.openTable("main");
  let isDone = false;
  const backups = async () => {
    for (let count = 0; !isDone || count < 2; count++) {
      await main.add(sampleRows(1000 + count, 1));
      await source.repository.backup({ source: source.uri });
    }
  };
  const prunes = async () => {
    for (let count = 0; !isDone || count < 2; count++) {
      await table.add(sampleRows(1000 + count, 1));
      const { id } = await repository.backup({ source: other });
      await repository.delete(id);
      await repository.prune({ graceHours: 0, lockTimeoutMs: 20 });
      await source.repository.prune({ graceHours: 0, lockTimeoutMs: 20 });
    }
  };
  const copies = async () => {
    try {
      for (let count = 0; count < 3; count++) {
        const { failed } = await source.repository.copy(repository);
        expect(failed).toEqual([]);
      }
    } finally {
      isDone = true;
    }
  };
  await Promise.all([backups(), prunes(), copies()]);
  expect((await source.repository.copy(repository)).failed).toEqual([]);
  const names = ({ id }: { id: string }) => id;
  const copied = (await repository.list()).map(names); // those of the other database are deleted
  expect(copied).toEqual((await source.repository.list()).map(names));
  expect((await source.repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
  await assertWhole(repository, source);
});

test("where its leases are removed by hand, all is looked at anew", async () => {
  const source = await newSource({ large: false });
  const { location } = await newTarget(false);
  let removals = 0;
  const storage = new FaultyStorage(new LocalStorage(location), ({ method, name }) => {
    const isLook = method === "stat" && name.startsWith("blobs/");
    if (isLook && removals < 2) removeLeases(location, () => removals++);
    return undefined;
  });
  const repository = await Repository.open(storage, { logger: silent });
  const { copied, failed } = await source.repository.copy(repository);
  // Once for the first try, and once for the second: a third one has looked, under a lease, at what the others wrote.
  expect([copied.length, failed, removals]).toEqual([3, [], 2]);
  await assertWhole(repository, source, ["third"]);
});

function removeLeases(location: string, onRemoved: () => void): void {
  for (const name of readdirSync(join(location, "leases"))) {
    rmSync(join(location, "leases", name));
    onRemoved();
  }
}

test("a snapshot that is deleted from the source meanwhile is passed over", async () => {
  const source = await newSource({ large: false });
  const { repository } = await newTarget(true);
  const [third] = await source.repository.list();
  const storage = new FaultyStorage(new LocalStorage(source.location), ({ method, name }) => {
    if (method === "read" && name === `snapshots/${third?.id}.json` && seen++ === 1) {
      rmSync(join(source.location, name));
    }
    return undefined;
  });
  let seen = 0;
  const from = await Repository.open(storage, { logger: silent });
  const { copied, failed } = await from.copy(repository);
  expect(seen).toBe(2);
  expect([copied.length, failed]).toEqual([2, []]);
});
