import { copyFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { Repository } from "lancedb-backup";
import { beforeEach, describe, expect, test } from "vitest";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import type { Content, WriteOptions } from "../../src/storage/storage.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";

let place: { readonly uri: string; readonly vault: string; readonly ids: readonly [string, string] };
const { logger } = recordingLogger();

beforeEach(async () => {
  const directory = await newDirectory();
  const [uri, vault] = [join(directory, "db"), join(directory, "vault")];
  const db = await connect(uri);
  const table = await makeSampleTable(db, "main", { rows: 10 });
  const repository = await Repository.init(vault, { logger });
  const first = await repository.backup({ source: uri });
  await table.add(sampleRows(100, 3));
  const second = await repository.backup({ source: uri });
  db.close();
  place = { uri, vault, ids: [first.id, second.id] };
});

const documentOf = (id: string) => join(place.vault, "snapshots", `${id}.json`);
const blobs = () => readdirSync(join(place.vault, "blobs"), { recursive: true }).sort();

test("a snapshot whose id is taken gets another one, and what has the id stays", async () => {
  const taken: string[] = [];
  class Taken extends LocalStorage {
    override async writeNew(name: string, content: Content, options: WriteOptions = {}): Promise<boolean> {
      if (name.startsWith("snapshots/") && taken.push(name) < 3) return false;
      return super.writeNew(name, content, options);
    }
  }
  const repository = await Repository.open(new Taken(place.vault), { logger });
  const { id } = await repository.backup({ source: place.uri });
  expect(new Set(taken).size).toBe(3);
  expect(taken[2]).toBe(`snapshots/${id}.json`);
  expect((await repository.list()).map((snapshot) => snapshot.id).sort()).toEqual([...place.ids, id].sort());
});

describe("a document under the id of another snapshot", () => {
  test("is damage of that one: it is told, nothing is removed for it, and the other is restored", async () => {
    const [first, second] = place.ids;
    copyFileSync(documentOf(first), documentOf(second));
    const told = recordingLogger();
    const repository = await Repository.open(place.vault, { logger: told.logger });
    expect((await repository.list()).map(({ id }) => id)).toEqual([first]);
    expect(told.logged.map(({ level }) => level)).toContain("warn");
    await expect(repository.get(second)).rejects.toMatchObject({
      code: "CORRUPT",
      message: expect.stringContaining(`calls itself "${first}"`),
    });
    const damaged = (await repository.verify()).filter(({ ok }) => !ok);
    expect(damaged.map(({ snapshot }) => snapshot)).toContain(second);
    const before = blobs();
    await expect(repository.prune({ keepLast: 1, graceHours: 0 })).rejects.toMatchObject({ code: "CORRUPT" });
    expect(blobs()).toEqual(before);
    await repository.restore(first, { target: join(place.vault, "..", "back") });
  });

  test("that differs in the case of letters is no snapshot, and nothing is removed that it may need", async () => {
    const [first] = place.ids;
    copyFileSync(documentOf(first), documentOf(first.toUpperCase().replace("T", "t")));
    const repository = await Repository.open(place.vault, { logger });
    expect(await repository.list()).toHaveLength(2);
    const before = blobs();
    await expect(repository.prune({ keepLast: 1, graceHours: 0 })).rejects.toMatchObject({ code: "CORRUPT" });
    expect(blobs()).toEqual(before);
  });
});
