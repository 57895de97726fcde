import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { Repository } from "lancedb-backup/repository";
import { expect, onTestFinished, test } from "vitest";
import { openStorage } from "../../src/storage/open-storage.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { ignoringStore } from "../support/ignoring-store.ts";
import { makeSampleTable } from "../support/sample.ts";
import { snapshotOf } from "../support/snapshot.ts";

const { logger } = recordingLogger();

test("a store that takes the condition and ignores it is refused, and nothing is left in it", async () => {
  const address = await ignoringStore();
  await expect(Repository.init(address, { logger })).rejects.toMatchObject({
    code: "UNSUPPORTED",
    message: expect.stringMatching(/made an object that was there already.*--unsafe-no-exclusive/),
  });
  await expect(Repository.open(address, { logger })).rejects.toMatchObject({ code: "VALIDATION" });
  for await (const { name } of (await openStorage(address)).list("")) expect(name).toBe("nothing");
});

test("it is found out by an object of a name that nobody has, too, which is taken away again", async () => {
  const storage = await openStorage(await ignoringStore());
  const made = storage.writeNew("leases/some-random-name", Buffer.from("1"), { isRandom: true });
  await expect(made).rejects.toMatchObject({ code: "UNSUPPORTED" });
  expect(await storage.stat("leases/some-random-name")).toBeUndefined();
});

test("where somebody has accepted that, a second kind of server keeps snapshots that verify and come back", async () => {
  const address = await ignoringStore();
  const directory = await newDirectory();
  const uri = join(directory, "db");
  const db = await connect(uri);
  onTestFinished(() => db.close());
  await makeSampleTable(db, "main");
  const made = await Repository.init(address, { logger, unsafeNoExclusive: true });
  await made.backup({ source: uri });
  const opened = await Repository.open(address, { logger });
  await opened.backup({ source: uri });
  expect((await opened.verify()).filter(({ ok }) => !ok)).toEqual([]);
  await opened.prune({ keepLast: 1, graceHours: 0 });
  const target = join(directory, "back");
  await opened.restore("latest", { target });
  const restored = await connect(target);
  expect(await snapshotOf(restored)).toEqual(await snapshotOf(db));
  restored.close();
});
