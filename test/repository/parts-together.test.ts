import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Capture, CaptureRequest, Entry, Source } from "../../src/engine/source-contract.ts";
import { IoError, LockedError, ValidationError } from "../../src/errors.ts";
import { BackupManager, BackupStrategy } from "../../src/index.ts";
import { Repository } from "../../src/repository/repository.ts";
import { silent } from "../crash/silent.ts";
import { newDirectory } from "../support/database.ts";
import { filesBelow } from "../support/files.ts";
import { inPieces } from "../support/pieces.ts";
import { PlainSource } from "../support/plain-source.ts";

// Several sources in one snapshot: of one moment, or no snapshot.

const { LanceVersion } = BackupStrategy;

async function newPlace() {
  const directory = await newDirectory();
  const place = (name: string) => join(directory, name);
  const [one, two] = [place("a-one"), place("b-two")];
  for (const uri of [one, two]) {
    const db = await connect(uri);
    await db.createTable("t", [{ id: 0 }]);
    db.close();
  }
  const files = place("files");
  mkdirSync(files);
  writeFileSync(join(files, "note.txt"), "a note");
  const repository = await Repository.init(place("repository"), { logger: silent });
  const managerOf = (uri: string) => {
    const manager = new BackupManager({ uri, backupDir: `${uri}-backups`, logger: silent });
    onTestFinished(() => manager[Symbol.asyncDispose]());
    return manager;
  };
  return { place, one, two, files, repository, managerOf };
}

/** Ids in table `t` of a part, by its source's place. */
async function idsOf(repository: Repository, id: string, place: (name: string) => string) {
  const { parts } = await repository.get(id);
  const ids: Record<string, number[]> = {};
  for (const [index, { source }] of parts.entries()) {
    if (source.type !== "lancedb") continue;
    const target = place(`restored-${id}-${index}`);
    await repository.restore(id, { targets: [{ part: source.id, target }] });
    const db = await connect(target);
    const rows = await (await db.openTable("t")).query().toArray();
    db.close();
    ids[source.uri] = rows.map((row) => Number(row["id"])).sort((a, b) => a - b);
  }
  return ids;
}

const nothing: AsyncIterable<Uint8Array> = inPieces();

/** A content that has vanished: it throws before its first piece. */
async function* gone(): AsyncGenerator<Uint8Array> {
  yield await Promise.reject(new IoError("gone", { path: "gone", errno: "ENOENT" }));
}

/** A source that does as another, but for what is given. */
function like(source: Source, changed: Partial<Source>): Source {
  return {
    ...{ type: source.type, id: source.id, uri: source.uri },
    capture: (request: CaptureRequest) => source.capture(request),
    ...changed,
  };
}

const count = async (repository: Repository) => (await repository.list()).length;

describe("guarded work that writes to two databases", () => {
  test.each([
    ["the first outside", (one: string, two: string) => [one, two] as const],
    ["the second outside", (one: string, two: string) => [two, one] as const],
  ])("is in both parts or in none, %s", async (_name, order) => {
    const { place, one, two, repository, managerOf } = await newPlace();
    const [outer, inner] = order(one, two).map(managerOf) as [BackupManager, BackupManager];
    let done = 0;
    let isOver = false;
    const add = async (manager: BackupManager, id: number, more: () => Promise<void>) =>
      manager.withBackup(LanceVersion, async (db) => {
        const table = await db.openTable("t");
        await table.add([{ id }]);
        await more();
      });
    const writer = (async () => {
      for (let id = 1; !isOver; id++) {
        await add(outer, id, () => add(inner, id, async () => undefined));
        done = id;
      }
    })();
    const taken: string[] = [];
    try {
      for (let turn = 0, last = -1; turn < 5; turn++) {
        while (done === last) await new Promise((resolve) => setTimeout(resolve, 1));
        last = done;
        taken.push((await repository.backup({ sources: [one, two] })).id);
      }
    } finally {
      isOver = true;
      await writer;
    }
    for (const id of taken) {
      const ids = await idsOf(repository, id, place);
      expect(ids[one]).toEqual(ids[two]);
    }
    expect(done).toBeGreaterThanOrEqual(5);
  });

  test("that is under way is waited for, and a backup that may not wait takes no snapshot", async () => {
    const { place, one, two, repository, managerOf } = await newPlace();
    const [inside, leave] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const work = managerOf(two).withBackup(LanceVersion, async (db) => {
      await (await db.openTable("t")).add([{ id: 1 }]);
      inside.resolve();
      await leave.promise;
    });
    await inside.promise;
    const impatient = repository.backup({ sources: [one, two], lockTimeoutMs: 50 });
    await expect(impatient).rejects.toBeInstanceOf(LockedError);
    expect(await count(repository)).toBe(0);
    // Neither is the first database held by a backup that has given up.
    await managerOf(one).withBackup(LanceVersion, async (db) => {
      await (await db.openTable("t")).add([{ id: 1 }]);
    });
    const patient = repository.backup({ sources: [one, two] });
    leave.resolve();
    await work;
    const ids = await idsOf(repository, (await patient).id, place);
    expect(ids).toEqual({ [one]: [0, 1], [two]: [0, 1] });
  });

  test("a capture of another source is made while the databases stand still", async () => {
    const { place, one, two, files, repository, managerOf } = await newPlace();
    const plain = new PlainSource(files);
    // A table that has had no guarded work has no lock to be held: such work comes in, and all is captured anew.
    for (const uri of [one, two])
      await managerOf(uri).withBackup(LanceVersion, async (db) => {
        await (await db.openTable("t")).add([{ id: 1 }]);
      });
    const refused: unknown[] = [];
    const source = like(plain, {
      async capture(request) {
        for (const uri of [one, two]) {
          const manager = new BackupManager({
            uri,
            backupDir: place("x"),
            logger: silent,
            lockTimeoutMs: 20,
          });
          const work = manager.withBackup(LanceVersion, async (db) => {
            await (await db.openTable("t")).add([{ id: 9 }]);
          });
          refused.push(await work.catch((error: unknown) => error));
          await manager[Symbol.asyncDispose]();
        }
        return plain.capture(request);
      },
    });
    const { id } = await repository.backup({ sources: [source, two, one] });
    expect(refused).toEqual([expect.any(LockedError), expect.any(LockedError)]);
    expect(await idsOf(repository, id, place)).toEqual({ [one]: [0, 1], [two]: [0, 1] });
    await managerOf(one).withBackup(LanceVersion, async (db) => {
      await (await db.openTable("t")).add([{ id: 1 }]);
    });
  });
});

describe("a source that fails", () => {
  test("when all was read leaves no snapshot, and gives the others back", async () => {
    const { one, files, repository, managerOf } = await newPlace();
    const plain = new PlainSource(files);
    const failure = new Error("the dump ended with exit code 1");
    const disposed: string[] = [];
    const source = like(plain, {
      async capture(request): Promise<Capture> {
        const capture = await plain.capture(request);
        return {
          ...capture,
          finish: () => Promise.reject(failure),
          [Symbol.asyncDispose]: async () => void disposed.push("plain"),
        };
      },
    });
    await expect(repository.backup({ sources: [one, source] })).rejects.toBe(failure);
    expect(await count(repository)).toBe(0);
    expect(disposed).toEqual(["plain"]);
    expect(filesBelow(repository.location).filter((path) => path.startsWith("leases/"))).toEqual([]);
    expect(filesBelow(one).filter((path) => path.includes("/pins/"))).toEqual([]);
    await managerOf(one).withBackup(LanceVersion, async (db) => {
      await (await db.openTable("t")).add([{ id: 1 }]);
    });
    const { newFiles } = await repository.backup({ sources: [one, plain] });
    expect(newFiles).toBeGreaterThan(0);
    expect((await repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
  });

  test("when it is captured gives back what was captured before it", async () => {
    const { one, files, repository, managerOf } = await newPlace();
    const source = like(new PlainSource(files), { capture: () => Promise.reject(new Error("no such dump")) });
    await expect(repository.backup({ sources: [one, source] })).rejects.toThrow("no such dump");
    expect(await count(repository)).toBe(0);
    await managerOf(one).withBackup(LanceVersion, async (db) => {
      await (await db.openTable("t")).add([{ id: 1 }]);
    });
  });

  test("since it has vanished is captured anew, with all the others", async () => {
    const { one, files, repository } = await newPlace();
    const plain = new PlainSource(files);
    let captures = 0;
    const source = like(plain, {
      async capture(request) {
        const capture = await plain.capture(request);
        if (++captures > 2) return capture;
        return {
          ...capture,
          async *entries(): AsyncGenerator<Entry> {
            yield {
              path: "gone",
              size: 1,
              open: () => gone(),
            };
          },
        };
      },
    });
    const { parts } = await repository.backup({ sources: [one, source] });
    expect(captures).toBe(3);
    expect(parts.map(({ files: count_ }) => count_ > 0)).toEqual([true, true]);
    expect((await repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
  });

  test("with a path that climbs, or that no snapshot can name, is refused", async () => {
    const { one, files, repository } = await newPlace();
    for (const path of ["../up", "/etc/passwd", "a/../../b", "x".repeat(5000)]) {
      for (const attributes of [undefined, { directory: true as const }]) {
        const source = like(new PlainSource(files), {
          async capture() {
            return {
              capturedAt: new Date(),
              async *entries(): AsyncGenerator<Entry> {
                yield { path, size: 0, attributes, open: () => nothing };
              },
              finish: async () => ({ about: {}, details: {} }),
              [Symbol.asyncDispose]: async () => undefined,
            };
          },
        });
        await expect(repository.backup({ sources: [one, source] })).rejects.toMatchObject({
          code: "UNSUPPORTED",
        });
      }
    }
    expect(await count(repository)).toBe(0);
  });
});

test("one source twice is refused, by whatever path and id", async () => {
  const { place, one, two, files, repository } = await newPlace();
  symlinkSync(one, place("link"));
  await repository.backup({ source: one }); // it has an id of its own now
  for (const sources of [
    [one, one],
    [one, place("link")],
    [one, `${place("b-two")}/../a-one`],
    [new PlainSource(files), new PlainSource(files)],
    [new PlainSource(files), two, new PlainSource(two)],
  ]) {
    await expect(repository.backup({ sources })).rejects.toBeInstanceOf(ValidationError);
  }
  expect(await count(repository)).toBe(1);
});

test("an id that sources of two types share is two sources", async () => {
  const { place, one, files, repository } = await newPlace();
  const { source } = await repository.backup({ source: one });
  const plain = new PlainSource(files, source.id);
  await repository.backup({ sources: [plain] });
  const { id, parts } = await repository.backup({ sources: [plain, one] });
  expect(parts.map(({ source: { type } }) => type)).toEqual(["plain", "lancedb"]);
  const target = place("back");
  await repository.restore(id, { target });
  const db = await connect(target);
  expect(await (await db.openTable("t")).countRows()).toBe(1);
  db.close();
});

describe("the set of sources changes, and", () => {
  test("what a source's snapshot before has is not read again, whatever else was in it", async () => {
    const { one, two, files, repository } = await newPlace();
    const plain = new PlainSource(files);
    const sets = [[one], [one, two], [two, plain], [plain, one, two], [plain], [two]];
    const fresh = [];
    for (const sources of sets) fresh.push((await repository.backup({ sources })).newFiles);
    expect(fresh.map((files_) => files_ > 0)).toEqual([true, true, true, false, false, false]);
    expect((await repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
  });

  test("latest with a source is the newest that has a part of it", async () => {
    const { one, two, files, repository } = await newPlace();
    const plain = new PlainSource(files);
    const taken = [];
    for (const sources of [[one], [one, two], [plain]]) {
      taken.push((await repository.backup({ sources })).id);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    for (const source of [one, two]) expect((await repository.get("latest", { source })).id).toBe(taken[1]);
    expect((await repository.get("latest", { source: plain.id })).id).toBe(taken[2]);
    expect((await repository.list({ source: two })).map(({ id }) => id)).toEqual([taken[1]]);
    expect((await repository.list({ source: one })).map(({ id }) => id)).toEqual([taken[1], taken[0]]);
  });

  test("retention counts those of the same sources together, in whatever order", async () => {
    const { one, two, repository } = await newPlace();
    const taken: string[] = [];
    for (const sources of [[one], [one, two], [two], [two, one], [one]]) {
      taken.push((await repository.backup({ sources })).id);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await repository.prune({ keepLast: 1, graceHours: 0 });
    const left = (await repository.list()).map(({ id }) => id).sort();
    expect(left).toEqual([taken[2], taken[3], taken[4]].sort());
    expect((await repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
  });
});

test("a database that is gone is told, and no part is taken without it", async () => {
  const { one, two, repository } = await newPlace();
  await repository.backup({ sources: [one, two] });
  rmSync(two, { recursive: true });
  await expect(repository.backup({ sources: [one, two] })).rejects.toBeInstanceOf(ValidationError);
  expect(await count(repository)).toBe(1);
});
