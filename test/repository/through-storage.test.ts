import { cpSync } from "node:fs";
import { join } from "node:path";
import { type Connection, connect } from "@lancedb/lancedb";
import { expect, onTestFinished, test } from "vitest";
import { Repository } from "../../src/repository/repository.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import type { Content, ReadOptions, Storage, WriteOptions } from "../../src/storage/storage.ts";
import { newDirectory } from "../support/database.ts";
import { type Call, type Fault, FaultyStorage } from "../support/faulty-storage.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { snapshotOf, type TableSnapshot } from "../support/snapshot.ts";
import { silent } from "./sound.ts";

/** A storage of which nobody knows that it is a directory, as an object store is. */
class Remote implements Storage {
  readonly #inner: Storage;

  constructor(directory: string) {
    this.#inner = new LocalStorage(directory);
  }
  get location() {
    return this.#inner.location;
  }
  read(name: string, options?: ReadOptions) {
    return this.#inner.read(name, options);
  }
  write(name: string, content: Content, options?: WriteOptions) {
    return this.#inner.write(name, content, options);
  }
  writeNew(name: string, content: Content, options?: WriteOptions) {
    return this.#inner.writeNew(name, content, options);
  }
  list(prefix: string) {
    return this.#inner.list(prefix);
  }
  remove(name: string) {
    return this.#inner.remove(name);
  }
  stat(name: string) {
    return this.#inner.stat(name);
  }
}

async function arrange() {
  const directory = await newDirectory();
  const uri = join(directory, "db");
  const db = await connect(uri);
  onTestFinished(() => db.close());
  const table = await makeSampleTable(db, "main");
  await makeSampleTable(db, "other", { rows: 10 });
  const location = join(directory, "repository");
  const first = await Repository.init(new Remote(location), { logger: silent });
  await first.backup({ source: uri, name: "first" });
  const before = await snapshotOf(db);
  await table.add(sampleRows(100, 20));
  return { directory, uri, db, location, before };
}

test("progress of files of one content ends at its total", async () => {
  const { directory, uri } = await arrange();
  cpSync(join(uri, "main.lance"), join(uri, "twin.lance"), { recursive: true });
  const repository = await Repository.init(new Remote(join(directory, "other")), { logger: silent });
  let last: { files: number; bytes: number; totalFiles: number; totalBytes: number } | undefined;
  await repository.backup({
    source: uri,
    onProgress: (progress) => {
      last = progress;
    },
  });
  expect([last?.files, last?.bytes]).toEqual([last?.totalFiles, last?.totalBytes]);
});

async function contentOf(uri: string): Promise<Record<string, TableSnapshot>> {
  const db: Connection = await connect(uri);
  try {
    return await snapshotOf(db);
  } finally {
    db.close();
  }
}

test("backup, restore, open, verify, scrub, diff and prune need nothing but the storage's interface", async () => {
  const { directory, uri, db, location, before } = await arrange();
  const repository = await Repository.open(new Remote(location), { logger: silent });
  const second = await repository.backup({ source: uri });
  expect(second.newFiles).toBe(2);
  const target = join(directory, "back");
  await repository.restore("first", { target });
  expect(await contentOf(target)).toEqual(before);
  {
    await using opened = await repository.openSnapshot("latest");
    expect(await snapshotOf(opened)).toEqual(await snapshotOf(db));
  }
  const results = await repository.verify(undefined, { restoreTest: true });
  expect(results.filter(({ ok }) => !ok)).toEqual([]);
  expect((await repository.scrub(uri)).damage).toEqual([]);
  expect((await repository.diff("first", "latest")).tables).toHaveLength(2);
  await repository.delete("first");
  await repository.prune({ graceHours: 0 });
  expect((await repository.verify()).every(({ ok }) => ok)).toBe(true);
});

test.each<Fault>(["fail", "lose", "trickle", "cut"])(
  "a storage that does `%s` at any one call loses no snapshot, and the next run succeeds",
  async (fault) => {
    const { directory, uri, db, location, before } = await arrange();
    const now = await snapshotOf(db);
    let calls = 1;
    for (let at = 1, place = 0; at <= calls; at += 3, place++) {
      const copy = join(directory, `repository-${place}`);
      cpSync(location, copy, { recursive: true });
      const faulty = new FaultyStorage(new Remote(copy), (call: Call) =>
        call.number === at ? fault : undefined,
      );
      const told = await attempt(faulty, uri);
      if (place === 0) calls = Math.max(calls, faulty.calls.length, 30);
      else calls = Math.max(calls, Math.min(faulty.calls.length, 200));
      const repository = await Repository.open(copy, { logger: silent });
      const names = (await repository.list()).map(({ name }) => name);
      expect(names).toContain("first");
      if (told === "done") expect(names).toContain("second");
      await repository.backup({ source: uri, name: "third" });
      for (const result of await repository.verify()) expect(result).toMatchObject({ ok: true });
      for (const [name, wanted] of [
        ["first", before],
        ["third", now],
      ] as const) {
        await using opened = await repository.openSnapshot(name);
        expect(await snapshotOf(opened)).toEqual(wanted);
      }
    }
  },
);

async function attempt(storage: Storage, source: string): Promise<"done" | "refused"> {
  try {
    const repository = await Repository.open(storage, { logger: silent });
    await repository.backup({ source, name: "second" });
    return "done";
  } catch (error) {
    expect(error).toMatchObject({ code: expect.stringMatching(/IO|CORRUPT|VALIDATION/) });
    return "refused";
  }
}

test("a storage that stalls is left by the abort signal, and there is no snapshot", async () => {
  const { uri, location } = await arrange();
  const faulty = new FaultyStorage(new Remote(location), ({ method, name }) =>
    method === "write" && name.startsWith("blobs/") ? "stall" : undefined,
  );
  const repository = await Repository.open(faulty, { logger: silent });
  const reason = new Error("too long");
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), 300);
  await expect(repository.backup({ source: uri, signal: controller.signal })).rejects.toBe(reason);
  const whole = await Repository.open(location, { logger: silent });
  expect((await whole.list()).map(({ name }) => name)).toEqual(["first"]);
});
