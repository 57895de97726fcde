import { beforeEach, describe, expect, test } from "vitest";
import { snapshotName } from "../../src/engine/format/names.ts";
import { BackupNotFoundError, CorruptError, UnsupportedError, ValidationError } from "../../src/errors.ts";
import { LanceCatalog } from "../../src/sources/lancedb/lance-catalog.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { silent } from "../crash/silent.ts";
import { newDirectory } from "../support/database.ts";
import { FaultyStorage } from "../support/faulty-storage.ts";
import { readAll, rejection } from "../support/pieces.ts";
import { documentOf, makeSnapshot, putSnapshot } from "./fixture.ts";

let storage: LocalStorage;
let catalog: LanceCatalog;
let warnings: { message: string; meta: Record<string, unknown> | undefined }[];
beforeEach(async () => {
  storage = new LocalStorage(await newDirectory());
  warnings = [];
  const logger = {
    ...silent,
    warn: (message: string, meta?: Record<string, unknown>) => void warnings.push({ message, meta }),
  };
  catalog = new LanceCatalog({ storage, logger });
});

const ids = (list: readonly { id: string }[]) => list.map(({ id }) => id);

/** Cuts the document of a snapshot in its first line. */
async function damage(id: string, keep = 300): Promise<void> {
  const name = snapshotName(id);
  await storage.write(name, (await readAll(storage, name)).subarray(0, keep));
}

describe("list", () => {
  test("gives every snapshot's summary, the newest first", async () => {
    const old = await putSnapshot(storage, { at: "2026-01-01T10:00:00Z", name: "old", tags: ["a"] });
    const newest = await putSnapshot(storage, { at: "2026-01-03T10:00:00.500Z" });
    const middle = await putSnapshot(storage, { at: "2026-01-02T10:00:00Z" });
    const listed = await catalog.list();
    expect(ids(listed)).toEqual(ids([newest, middle, old]));
    const { tables, checksum, ...summary } = await catalog.get(old.id);
    expect(listed[2]).toEqual({ ...summary, tables: tables.map(({ versions, ...table }) => table) });
    expect(listed[2]).toMatchObject({
      name: "old",
      tags: ["a"],
      createdAt: new Date("2026-01-01T10:00:00Z"),
    });
  });

  test("of an empty repository is empty", async () => {
    expect(await catalog.list()).toEqual([]);
  });

  test("reads no file lists", async () => {
    const files = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`data/${i}.lance`, "x"]));
    await putSnapshot(storage, { at: "2026-01-01T10:00:00Z", tables: { "t.lance": files } });
    const faulty = new FaultyStorage(storage);
    await new LanceCatalog({ storage: faulty, logger: silent }).list();
    expect(faulty.calls.filter(({ method }) => method === "read")).toHaveLength(1);
  });

  test("reads a first line of any length", async () => {
    const tables = Object.fromEntries(
      Array.from({ length: 700 }, (_, index) => [
        `table-${index}-${"é".repeat(40)}.lance`,
        { "data/a": "x" },
      ]),
    );
    const { id } = await putSnapshot(storage, { at: "2026-01-01T10:00:00Z", tables });
    expect((await catalog.list())[0]).toMatchObject({ id, files: 700 });
    const trickling = new FaultyStorage(storage, ({ method }) => (method === "read" ? "trickle" : undefined));
    expect(ids(await new LanceCatalog({ storage: trickling, logger: silent }).list())).toEqual([id]);
  });

  test("leaves out what is damaged, with a warning, and what is no document", async () => {
    const whole = await putSnapshot(storage, { at: "2026-01-01T10:00:00Z" });
    const cut = await putSnapshot(storage, { at: "2026-01-02T10:00:00Z" });
    const newer = await putSnapshot(storage, { at: "2026-01-03T10:00:00Z" });
    await damage(cut.id);
    const name = snapshotName(newer.id);
    const text = (await readAll(storage, name)).toString().replace('{"format":2', '{"format":7');
    await storage.write(name, Buffer.from(text));
    await storage.write("snapshots/notes.json", Buffer.from("{}"));
    await storage.write("snapshots/20260101T100000Z-1a2b3c4d.json.old", Buffer.from("{}"));
    expect(ids(await catalog.list())).toEqual([whole.id]);
    expect(warnings.map(({ meta }) => meta?.["snapshot"]).sort()).toEqual([cut.id, newer.id]);
    expect(await rejection(catalog.get(cut.id))).toBeInstanceOf(CorruptError);
    expect(await rejection(catalog.get(newer.id))).toBeInstanceOf(UnsupportedError);
  });

  test("one under another's name is damaged", async () => {
    const { id } = await putSnapshot(storage, { at: "2026-01-01T10:00:00Z" });
    await storage.write(snapshotName("20260101T100000Z-00000000"), await readAll(storage, snapshotName(id)));
    expect(ids(await catalog.list())).toEqual([id]);
    expect(await rejection(catalog.get("20260101T100000Z-00000000"))).toBeInstanceOf(CorruptError);
  });

  test("one that goes while it is listed is left out without a word", async () => {
    const stays = await putSnapshot(storage, { at: "2026-01-01T10:00:00Z" });
    const goes = await putSnapshot(storage, { at: "2026-01-02T10:00:00Z" });
    const faulty = new FaultyStorage(storage, ({ method }) => (method === "read" ? "trickle" : undefined));
    const listing = new LanceCatalog({ storage: faulty, logger: silent });
    const list = faulty.list.bind(faulty);
    faulty.list = async function* (prefix) {
      yield* list(prefix);
      await storage.remove(snapshotName(goes.id));
    };
    expect(ids(await listing.list())).toEqual([stays.id]);
    expect(warnings).toEqual([]);
  });

  test("a storage that cannot be read is an error, not an empty list", async () => {
    await putSnapshot(storage, { at: "2026-01-01T10:00:00Z" });
    const faulty = new FaultyStorage(storage, ({ method }) => (method === "list" ? "fail" : undefined));
    await expect(new LanceCatalog({ storage: faulty, logger: silent }).list()).rejects.toMatchObject({
      code: "IO",
    });
  });

  test("keeps to the filter", async () => {
    const a = await putSnapshot(storage, {
      at: "2026-01-01T00:00:00Z",
      name: "n",
      tags: ["x", "y"],
      uri: "/a",
    });
    const b = await putSnapshot(storage, { at: "2026-01-02T00:00:00Z", name: "n", tags: ["x"], uri: "/b" });
    const c = await putSnapshot(storage, { at: "2026-01-03T00:00:00Z", uri: `${process.cwd()}/c` });
    const with_ = async (filter: Parameters<LanceCatalog["list"]>[0]) => ids(await catalog.list(filter));
    expect(await with_({ name: "n" })).toEqual(ids([b, a]));
    expect(await with_({ tags: ["x"] })).toEqual(ids([b, a]));
    expect(await with_({ tags: ["x", "y"] })).toEqual([a.id]);
    expect(await with_({ tags: [] })).toEqual(ids([c, b, a]));
    expect(await with_({ source: "/b" })).toEqual([b.id]);
    expect(await with_({ source: "c" })).toEqual([c.id]);
    expect(await with_({ before: new Date("2026-01-02T00:00:00Z") })).toEqual([a.id]);
    expect(await with_({ after: new Date("2026-01-02T00:00:00Z") })).toEqual(ids([c, b]));
    expect(await with_({ name: "n", after: new Date("2026-01-02T00:00:00Z") })).toEqual([b.id]);
    expect(await with_({ name: "none" })).toEqual([]);
  });

  test.each([
    [{ before: new Date("x") }, ValidationError],
    [{ tag: "x" }, ValidationError],
    [{ after: "2026-01-01" }, TypeError],
    [{ tags: "x" }, TypeError],
    [{ name: 1 }, TypeError],
    [null, TypeError],
  ])("refuses the filter %j", async (filter, wanted) => {
    expect(await rejection(catalog.list(filter as never))).toBeInstanceOf(wanted);
  });
});

describe("get", () => {
  test("takes an id, a beginning of one, a name, or latest", async () => {
    const a = await putSnapshot(storage, { at: "2026-01-01T10:00:00Z", name: "nightly" });
    const b = await putSnapshot(storage, { at: "2026-02-02T10:00:00Z", name: "nightly" });
    const c = await putSnapshot(storage, { at: "2026-02-03T10:00:00Z" });
    const got = async (reference: string) => (await catalog.get(reference)).id;
    expect(await got(a.id)).toBe(a.id);
    expect(await got("202601")).toBe(a.id);
    expect(await got(b.id.slice(0, -1))).toBe(b.id);
    expect(await got("nightly")).toBe(b.id);
    expect(await got("latest")).toBe(c.id);
  });

  test("names the candidates where a beginning fits several", async () => {
    const a = await putSnapshot(storage, { at: "2026-02-01T10:00:00Z" });
    const b = await putSnapshot(storage, { at: "2026-02-02T10:00:00Z" });
    const error = await rejection(catalog.get("202602"));
    expect(error).toBeInstanceOf(ValidationError);
    for (const { id } of [a, b]) expect((error as Error).message).toContain(id);
  });

  test("a name that is the beginning of an id, too, is a name", async () => {
    await putSnapshot(storage, { at: "2026-02-01T10:00:00Z" });
    const named = await putSnapshot(storage, { at: "2020-02-01T10:00:00Z", name: "2026" });
    expect((await catalog.get("2026")).id).toBe(named.id);
  });

  test.each(["none", "", "20260101T100000Z-00000000", "../repository", "Latest"])(
    "of %j: there is none",
    async (id) => {
      await putSnapshot(storage, { at: "2026-02-01T10:00:00Z", name: "some" });
      expect(await rejection(catalog.get(id))).toBeInstanceOf(BackupNotFoundError);
      expect(await rejection(catalog.content(id))).toBeInstanceOf(BackupNotFoundError);
    },
  );

  test("latest of an empty repository: there is none", async () => {
    expect(await rejection(catalog.get("latest"))).toMatchObject({ code: "BACKUP_NOT_FOUND", id: "latest" });
  });

  test("latest does not pass over a damaged one that may be newer; an older one does not matter", async () => {
    const old = await putSnapshot(storage, { at: "2026-01-01T10:00:00Z" });
    const middle = await putSnapshot(storage, { at: "2026-01-02T10:00:00Z" });
    const newest = await putSnapshot(storage, { at: "2026-01-03T10:00:00Z" });
    await damage(old.id);
    expect((await catalog.get("latest")).id).toBe(newest.id);
    await damage(newest.id);
    expect(await rejection(catalog.get("latest"))).toBeInstanceOf(CorruptError);
    expect((await catalog.get(middle.id)).id).toBe(middle.id);
  });

  test("checks the whole document", async () => {
    const { id } = await putSnapshot(storage, { at: "2026-01-01T10:00:00Z" });
    const name = snapshotName(id);
    const document = await readAll(storage, name);
    document[document.length - 200] = 0x58;
    await storage.write(name, document);
    expect(ids(await catalog.list())).toEqual([id]);
    expect(await rejection(catalog.get(id))).toBeInstanceOf(CorruptError);
  });

  test("newestOf tells sources apart, and passes over what is damaged", async () => {
    await putSnapshot(storage, { at: "2026-01-01T10:00:00Z", uri: "/a" });
    const wanted = await putSnapshot(storage, { at: "2026-01-02T10:00:00Z", uri: "/a" });
    const cut = await putSnapshot(storage, { at: "2026-01-03T10:00:00Z", uri: "/a" });
    await putSnapshot(storage, { at: "2026-01-04T10:00:00Z", uri: "/b" });
    await putSnapshot(storage, { at: "2026-01-05T10:00:00Z", uri: "/a", host: "there" });
    await damage(cut.id, documentOf(makeSnapshot({ at: 0 })).length - 100);
    expect((await catalog.newestOf({ id: "here:/a" }))?.snapshot.id).toBe(wanted.id);
    expect(await catalog.newestOf({ id: "here:/none" })).toBeUndefined();
    expect(warnings).toHaveLength(1);
  });

  test("newestOf goes by the order of list, within one second too", async () => {
    for (let ms = 0; ms < 10; ms++) {
      await putSnapshot(storage, { at: `2026-01-01T10:00:00.${String((ms * 7) % 10)}00Z`, uri: "/a" });
    }
    const [newest] = await catalog.list();
    expect((await catalog.newestOf({ id: "here:/a" }))?.snapshot.id).toBe(newest?.id);
  });
});

describe("delete", () => {
  test("takes an exact id, and removes the document alone, a damaged one too", async () => {
    const kept = await putSnapshot(storage, { at: "2026-01-01T10:00:00Z", name: "n" });
    const gone = await putSnapshot(storage, { at: "2026-01-02T10:00:00Z" });
    await damage(gone.id);
    for (const reference of ["n", "latest", kept.id.slice(0, 8), "20260101T100000Z-00000000", "../x"])
      expect(await rejection(catalog.delete(reference))).toBeInstanceOf(BackupNotFoundError);
    await catalog.delete(gone.id);
    expect(await rejection(catalog.delete(gone.id))).toBeInstanceOf(BackupNotFoundError);
    expect(ids(await catalog.list())).toEqual([kept.id]);
    let blobs = 0;
    for await (const _ of storage.list("blobs/")) blobs++;
    expect(blobs).toBe(2);
  });
});
