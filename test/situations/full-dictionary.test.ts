import { join } from "node:path";
import {
  type Data,
  Dictionary,
  Field,
  Int8,
  Int32,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  Table,
  Utf8,
  vectorFromArray,
} from "apache-arrow";
import { expect, test } from "vitest";
import { applyDelta, loadBackup, PeriodicBackupManager, UnsupportedError } from "../../src/index.ts";
import { newDatabase } from "../support/database.ts";

// Keys of 8 bits number 128 values. Each part of a table has values of its own.

const type = new Dictionary(new Utf8(), new Int8());
const schema = new Schema([new Field("id", new Int32(), false), new Field("kind", type, true)]);

function rows(from: number, kind: string, count = 128): Table {
  const dictionary = vectorFromArray(
    Array.from({ length: count }, (_, at) => `${kind}${at}`),
    new Utf8(),
  );
  const codes = makeData({
    type,
    length: count,
    data: Int8Array.from({ length: count }, (_, at) => at),
    dictionary,
  });
  const ids = Int32Array.from({ length: count }, (_, at) => from + at);
  const children = [makeData({ type: new Int32(), length: count, data: ids }), codes] as Data[];
  const struct = makeData({
    type: new Struct(schema.fields),
    length: count,
    nullCount: 0,
    children,
  } as never);
  return new Table(schema, new RecordBatch(schema, struct as never));
}

test.each(["json", "arrow"] as const)(
  "a dictionary that uses all its keys goes through %s files",
  async (fileFormat) => {
    const { db, uri, directory, logger } = await newDatabase();
    const table = await db.createTable("t", rows(0, "a"));
    const backupDir = join(directory, "periodic");
    await using periodic = new PeriodicBackupManager({
      uri,
      backupDir,
      fileFormat,
      incremental: true,
      logger,
    });
    const full = await periodic.backupFull();
    await table.add(rows(1000, "b"));
    await table.add(rows(2000, "c", 20));
    const delta = await periodic.backupDelta();
    const whole = await periodic.backupFull();
    for (const [name, files] of [
      ["by the delta", [full, delta ?? ""]],
      ["at once", [whole]],
    ] as const) {
      const target = join(directory, name);
      const loaded = await loadBackup(files[0], target, { logger });
      if (files[1] !== undefined) await applyDelta(target, files[1], { logger });
      const kinds = new Set<string>();
      for await (const batch of (await loaded.openTable("t")).query())
        for (const kind of batch.getChild("kind") ?? []) kinds.add(String(kind));
      expect(kinds.size, name).toBe(276);
      loaded.close();
    }
    // LanceDB's own compaction makes a dictionary of it that it cannot read.
    await table.optimize();
    const refused = await periodic.backupFull().catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(UnsupportedError);
    expect(refused).toMatchObject({
      message: expect.stringMatching(/^The table t has a column whose dictionary/),
    });
  },
);
