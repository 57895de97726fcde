import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { beforeEach, describe, expect, test } from "vitest";
import { BackupError, CorruptError } from "../../src/errors.ts";
import { Repository } from "../../src/repository/repository.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import type { StoredObject } from "../../src/storage/object-name.ts";
import type { ReadOptions, Storage } from "../../src/storage/storage.ts";
import { newDirectory } from "../support/database.ts";
import { filesBelow } from "../support/files.ts";
import { readAll } from "../support/pieces.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { silent } from "./sound.ts";
import { remote } from "./verify-run.ts";

// A store that is broken or hostile: it lists, looks up and reads what is not so.

interface Place {
  readonly directory: string;
  readonly uri: string;
  readonly local: LocalStorage;
  readonly honest: Repository;
}

let place: Place;

beforeEach(async () => {
  const directory = await newDirectory();
  const uri = join(directory, "db");
  const db = await connect(uri);
  const table = await makeSampleTable(db, "main");
  const local = new LocalStorage(join(directory, "repository"));
  const honest = await Repository.init(remote(local), { logger: silent, compression: { algorithm: "none" } });
  for (const name of ["first", "second", "third"]) {
    await honest.backup({ source: uri, name });
    await table.add(sampleRows(100, 3));
  }
  db.close();
  place = { directory, uri, local, honest };
});

const lying = (lies: Partial<Storage>): Storage => ({ ...remote(place.local), ...lies });
const open = (lies: Partial<Storage>) => Repository.open(lying(lies), { logger: silent });
const names = async (repository: Repository) => (await repository.list()).map(({ name }) => name);

/** The storage is as it was but for leases, and nothing lies beside it that was not there. */
function look(): string[] {
  return filesBelow(place.directory).filter((path) => !path.startsWith("db/") && !path.includes("/leases/"));
}

/** Every operation ends, well or by an error of ours, and has taken nothing away. */
async function assertHarmless(lies: Partial<Storage>): Promise<unknown[]> {
  const [target, before] = [join(place.directory, "back"), look()];
  const failures: unknown[] = [];
  const attempts: ((repository: Repository) => Promise<unknown>)[] = [
    (repository) => repository.list(),
    (repository) => repository.verify(),
    (repository) => repository.restore("second", { target }),
    (repository) => repository.prune({ graceHours: 0 }),
  ];
  for (const attempt of attempts) {
    await open(lies)
      .then(attempt)
      .catch((error: unknown) => {
        expect(error).toBeInstanceOf(BackupError);
        failures.push(error);
      });
  }
  rmSync(target, { recursive: true, force: true });
  const after = look();
  expect(before.filter((path) => !after.includes(path) && !path.includes("/marks/"))).toEqual([]);
  expect(readdirSync(place.directory).sort()).toEqual(["db", "repository"]);
  expect(await names(place.honest)).toEqual(["third", "second", "first"]);
  expect((await place.honest.verify()).filter(({ ok }) => !ok)).toEqual([]);
  return failures;
}

/** A listing as it is, with something done to it. */
const listed = (change: (objects: StoredObject[], prefix: string) => Iterable<StoredObject>) => ({
  async *list(prefix: string) {
    const objects: StoredObject[] = [];
    for await (const object of place.local.list(prefix)) objects.push(object);
    yield* change(objects, prefix);
  },
});

describe("a listing", () => {
  const modified = new Date();
  const others = [
    ...["../outside", "/etc/passwd", "snapshots/../../x", "elsewhere/x", "", "snapshots/", "blobs/zz/zz"],
    ...["leases/exclusive-x.json", "marks/../../m.json"],
    ...["repository.json", `blobs/ab/${"c".repeat(64)}`, `x${"y".repeat(100_000)}`],
  ].map((name) => ({ name, size: 1, modified }));

  test.each<[string, (objects: StoredObject[]) => StoredObject[]]>([
    ["names all twice", (objects) => [...objects, ...objects]],
    ["names each twice in a row", (objects) => objects.flatMap((object) => [object, object])],
    ["is not sorted", (objects) => objects.toReversed()],
    ["names what is elsewhere", (objects) => [...others, ...objects]],
    ["says that all is empty", (objects) => objects.map((object) => ({ ...object, size: 0 }))],
    ["says that all is huge", (objects) => objects.map((object) => ({ ...object, size: 2 ** 52 }))],
    ["says times that are none", (objects) => objects.map((o) => ({ ...o, modified: new Date(Number.NaN) }))],
  ])("that %s does no harm, and is used", async (_name, change) => {
    expect(await assertHarmless(listed(change))).toEqual([]);
    expect(await names(await open(listed(change)))).toEqual(["third", "second", "first"]);
  });

  test("that names documents twice makes no policy remove more", async () => {
    const repository = await open(listed((objects) => [...objects, ...objects]));
    const { removed } = await repository.prune({ keepLast: 2, graceHours: 0 });
    expect(removed).toHaveLength(1);
    expect(await names(place.honest)).toEqual(["third", "second"]);
    expect((await place.honest.verify()).filter(({ ok }) => !ok)).toEqual([]);
  });

  test("that names snapshots that are not there is passed over", async () => {
    const ghost = { name: "snapshots/20261105T123456Z-1a2b3c4d.json", size: 10, modified };
    const lies = listed((objects, prefix) => (ghost.name.startsWith(prefix) ? [ghost, ...objects] : objects));
    expect(await assertHarmless(lies)).toEqual([]);
    expect(await names(await open(lies))).toEqual(["third", "second", "first"]);
  });

  test("that has no end is left by the abort signal", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const repository = await open({
      async *list(prefix) {
        for (let number = 0; ; number++) {
          if (number === 50_000) controller.abort(reason);
          yield { name: `${prefix}${number}`, size: 1, modified };
        }
      },
    });
    const { signal } = controller;
    await expect(repository.verify(undefined, { signal })).rejects.toBe(reason);
    await expect(repository.prune({ graceHours: 0, signal })).rejects.toBe(reason);
  });

  test("of pins and tags that has no end is left by the abort signal, too", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const repository = await open({
      async *list(prefix) {
        if (!prefix.startsWith("labels/")) yield* place.local.list(prefix);
        for (let number = 0; prefix.startsWith("labels/"); number++) {
          if (number === 50_000) controller.abort(reason);
          yield { name: `${prefix}${number}`, size: 1, modified };
        }
      },
    });
    const [first] = await place.honest.list();
    const { signal } = controller;
    await expect(repository.pin(first?.id ?? "", { signal })).rejects.toBe(reason);
  });
});

describe("a read", () => {
  const reading = (of: RegExp, read: (name: string, options?: ReadOptions) => AsyncIterable<Uint8Array>) => ({
    read: (name: string, options?: ReadOptions) =>
      of.test(name) ? read(name, options) : place.local.read(name, options),
  });
  const objects = [["documents", /^snapshots\//] as const, ["blobs", /^blobs\//] as const];

  async function* nothing(): AsyncGenerator<Uint8Array> {
    yield* [];
  }

  test.each(objects)("of %s that are empty", async (_name, of) => {
    expect((await assertHarmless(reading(of, nothing))).length).toBeGreaterThan(0);
  });

  test.each(objects)("of %s that have a byte more", async (_name, of) => {
    const lies = reading(of, async function* (name, options) {
      yield* place.local.read(name, options);
      if (options?.length === undefined) yield Buffer.from("x");
    });
    await assertHarmless(lies);
  });

  test.each(objects)("of %s that is not a stretch, but all", async (_name, of) => {
    await assertHarmless(reading(of, (name, { signal } = {}) => place.local.read(name, { signal })));
  });

  test.each(objects)("of %s that are another's", async (_name, of) => {
    const all = filesBelow(place.local.directory).filter((path) => of.test(path));
    const other = (name: string) => all.find((path) => path !== name) ?? name;
    const failures = await assertHarmless(
      reading(of, (name, options) => place.local.read(other(name), options)),
    );
    expect(failures.some((error) => error instanceof CorruptError)).toBe(true);
  });
});

test("a look that says other sizes is damage, or does no harm", async () => {
  for (const size of [0, 1, 2 ** 52]) {
    const lies: Partial<Storage> = {
      async stat(name) {
        const found = await place.local.stat(name);
        return found && name.startsWith("blobs/") ? { ...found, size } : found;
      },
    };
    await assertHarmless(lies);
  }
});

test("a blob elsewhere that was cut short is written again", async () => {
  const storage = new LocalStorage(join(place.directory, "repository", "..", "new"));
  const repository = await Repository.init(remote(storage), {
    logger: silent,
    compression: { algorithm: "none" },
  });
  await repository.backup({ source: place.uri, name: "before" });
  for (const name of filesBelow(storage.directory).filter((path) => path.startsWith("blobs/"))) {
    const whole = await readAll(storage, name);
    await storage.write(name, whole.subarray(0, whole.length >> 1));
  }
  expect((await repository.verify()).some(({ ok }) => !ok)).toBe(true);
  await repository.backup({ source: place.uri, name: "anew" });
  expect((await repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
});

describe("repository.json of another repository, put in place between open and use", () => {
  test.each([
    ["in a local directory", (storage: LocalStorage): Storage => storage],
    ["elsewhere", remote],
  ])("is told, and nothing is written into that one: %s", async (_where, through) => {
    const repository = await Repository.open(through(place.local), { logger: silent });
    const other = new LocalStorage(join(place.directory, "other"));
    await Repository.init(other, { logger: silent, compression: { algorithm: "zstd" } });
    await place.local.write("repository.json", await readAll(other, "repository.json"));
    rmSync(other.directory, { recursive: true });
    const before = look();
    for (const attempt of [
      () => repository.backup({ source: place.uri }),
      () => repository.prune({ keepLast: 1, graceHours: 0 }),
      () => repository.delete("first"),
    ]) {
      await expect(attempt()).rejects.toMatchObject({
        code: "IO",
        message: expect.stringMatching(/no longer the repository/),
      });
    }
    expect(look()).toEqual(before);
  });
});
