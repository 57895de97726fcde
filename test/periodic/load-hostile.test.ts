import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Index } from "@lancedb/lancedb";
import type { DataType } from "apache-arrow";
import { describe, expect, test } from "vitest";
import { arrow } from "../../src/arrow/arrow.ts";
import { BackupError } from "../../src/errors.ts";
import type { FileFormat } from "../../src/periodic/file/backup-file.ts";
import { loadBackup } from "../../src/periodic/replay/replay-file.ts";
import { changed, forge } from "./forge.ts";
import { Place, tableOf } from "./harness.ts";
import { randomNumbers } from "./random-work.ts";

const nightly = process.env["NIGHTLY"] === "1";
const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));

const ids = [1, 2, 3, 4, 5];
const COLUMNS: Record<string, [DataType, readonly unknown[]]> = {
  id: [new arrow.Int32(), ids],
  text: [new arrow.Utf8(), ids.map((id) => `it is ${id}`)],
  word: [new arrow.Dictionary(new arrow.Utf8(), new arrow.Int8()), ids.map((id) => `w${id % 2}`)],
  vector: [
    new arrow.FixedSizeList(2, new arrow.Field("item", new arrow.Float32(), true)),
    ids.map((id) => [id, 1]),
  ],
  list: [
    new arrow.List(new arrow.Field("item", new arrow.Int64(), true)),
    ids.map((id) => [BigInt(id), null]),
  ],
};

async function fullOf(place: Place, fileFormat: FileFormat): Promise<string> {
  const table = await (await place.db()).createTable("a", tableOf(COLUMNS));
  await table.createIndex("id", { config: Index.btree() });
  await table.createIndex("text", { config: Index.fts() });
  return place.manager({ fileFormat }).backupFull();
}

describe.each(["json", "arrow"] as const)("a %s full with a right checksum", (format) => {
  test("and a row that is wrong leaves nothing", async () => {
    await using place = new Place();
    const path = await fullOf(place, format);
    const bytes = readFileSync(path);
    if (format === "json") bytes.write('"id":x', bytes.lastIndexOf('"id":5'));
    else bytes[bytes.lastIndexOf("it is 5")] = 0xff;
    forge(path, bytes);
    const before = readdirSync(place.root);
    const message = expect.stringMatching(/table "a", rows/);
    await expect(loadBackup(path, place.fresh())).rejects.toMatchObject({ code: "CORRUPT", message, path });
    expect(readdirSync(place.root)).toEqual(before);
  });

  test(`and anything changed in it is refused and leaves nothing, or loads (seed ${seed})`, async () => {
    await using place = new Place();
    const good = readFileSync(await fullOf(place, format));
    const path = join(place.root, "forged");
    writeFileSync(path, good);
    const before = readdirSync(place.root);
    const random = randomNumbers(seed);
    for (let run = 0; run < (nightly ? 3000 : 60); run++) {
      const { bytes, at } = changed(good, random);
      forge(path, bytes);
      const target = place.fresh();
      const what = `seed ${seed}, run ${run}, byte ${at}`;
      try {
        (await loadBackup(path, target, { logger: place.logger })).close();
      } catch (error) {
        expect(error, what).toBeInstanceOf(BackupError);
        expect((error as BackupError).code, what).toMatch(/^(CORRUPT|VALIDATION)$/);
        expect((error as BackupError).message, what).toContain(path);
        expect(
          readdirSync(place.root).filter((name) => !before.includes(name) && !/^fresh-\d+$/.test(name)),
          what,
        ).toEqual([]);
      }
    }
  });
});
