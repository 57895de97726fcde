import {
  chmodSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { describe, expect, onTestFinished, test } from "vitest";
import { Catalog } from "../../src/engine/catalog/catalog.ts";
import { snapshotName } from "../../src/engine/format/names.ts";
import { rawKey } from "../../src/engine/keys/raw-key.ts";
import { BackupNotFoundError, ValidationError } from "../../src/errors.ts";
import { FileCache } from "../../src/fs/file-cache.ts";
import { Repository } from "../../src/repository/repository.ts";
import { cacheDirectory } from "../../src/repository/snapshot-cache.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { FaultyStorage } from "../support/faulty-storage.ts";
import { filesBelow } from "../support/files.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { documentOf, makeSnapshot } from "./fixture.ts";
import { silent } from "./sound.ts";
import { remote } from "./verify-run.ts";

async function arrange() {
  const directory = await newDirectory();
  const [uri, location, cache] = ["db", "vault", "cache"].map((name) => join(directory, name));
  if (!uri || !location || !cache) throw new Error("no place");
  const db = await connect(uri);
  onTestFinished(() => db.close());
  const table = await makeSampleTable(db, "main");
  const storage = new FaultyStorage(remote(new LocalStorage(location)));
  const made = await Repository.init(remote(new LocalStorage(location)), { logger: silent });
  for (let count = 1; count <= 3; count++) {
    await table.add(sampleRows(count * 100, 1));
    await made.backup({ source: uri, name: `number-${count}` });
  }
  const open = (at = cache) => Repository.open(storage, { logger: silent, cache: at });
  /** What was asked of the storage by some work, but for pins and tags, which change and are listed each time. */
  const requests = async (work: () => Promise<unknown>) => {
    const before = storage.calls.length;
    await work();
    const asked = storage.calls.slice(before).map(({ method, name }) => `${method} ${name}`);
    return asked.filter((call) => !call.startsWith("list labels/"));
  };
  return { directory, uri, location, cache, table, storage, made, open, requests };
}

test("of an encrypted repository they are kept as they are in it: nobody reads them without a key", async () => {
  const { directory, uri } = await arrange();
  const [location, cache] = [join(directory, "encrypted"), join(directory, "cache-of-encrypted")];
  const keys = [rawKey(Buffer.alloc(32, 1))];
  const storage = new FaultyStorage(remote(new LocalStorage(location)));
  const repository = await Repository.init(storage, { logger: silent, encryption: { keys }, cache });
  await repository.backup({ source: uri, name: "secret-name" });
  const open = () => Repository.open(storage, { logger: silent, keys, cache });
  await (await open()).get("latest");
  const before = storage.calls.length;
  expect(await (await open()).get("latest")).toMatchObject({ name: "secret-name" });
  const reads = storage.calls
    .slice(before)
    .filter(({ method, name }) => method === "read" && name.startsWith("snapshots/"));
  expect(reads).toEqual([]);
  const kept = filesBelow(cache);
  expect(kept.length).toBeGreaterThan(0);
  for (const name of kept) {
    const text = `${name} ${readFileSync(join(cache, name), "latin1")}`;
    for (const word of [uri, "secret-name", "main.lance", "tables"]) expect(text).not.toContain(word);
  }
  // A rotation that encrypts all anew replaces documents: what was kept is not taken for them.
  await repository.keys.rotate({ rewrite: true });
  await repository.prune({ graceHours: 0 });
  const again = await open();
  expect((await again.verify("latest")).every(({ ok }) => ok)).toBe(true);
  await again.restore("latest", { target: join(directory, "restored") });
});

describe("documents are kept near", () => {
  test("a listing, latest and a name cost one listing, also for another process' repository", async () => {
    const { open, requests } = await arrange();
    const first = await open();
    const all = await first.list();
    expect(await first.get("latest")).toMatchObject({ name: "number-3" });
    const second = await open();
    expect(await requests(async () => expect(await second.list()).toEqual(all))).toEqual(["list snapshots/"]);
    expect(await requests(() => second.get("latest"))).toEqual(["list snapshots/"]);
    await second.get("number-2");
    expect(await requests(() => second.get("number-2"))).toEqual(["list snapshots/"]);
    // By its id nobody has listed it: the storage is asked whether it is there.
    const id = all[0]?.id ?? "";
    expect(await requests(() => second.get(id))).toEqual([`stat snapshots/${id}.json`]);
  });

  test("a backup after one from this place fetches no document", async () => {
    const { uri, table, open, requests } = await arrange();
    const repository = await open();
    await repository.backup({ source: uri });
    await table.add(sampleRows(900, 1));
    const another = await open();
    const calls = await requests(() => another.backup({ source: uri }));
    expect(calls.filter((call) => call.startsWith("read snapshots/"))).toEqual([]);
  });

  test("never of a snapshot that is not listed any more, by whomever it was deleted", async () => {
    const { open, made, cache } = await arrange();
    const repository = await open();
    const [newest, ...others] = await repository.list();
    const id = newest?.id ?? "";
    await repository.get(id);
    await made.delete(id);
    expect(await repository.list()).toEqual(others);
    await expect(repository.get(id)).rejects.toThrow(BackupNotFoundError);
    expect((await repository.get("latest")).id).toBe(others[0]?.id);
    await repository.delete(others[0]?.id ?? "");
    expect(filesBelow(cache).filter((name) => name.includes(others[0]?.id ?? "?"))).toEqual([]);
  });

  test("what is damaged, another's, or gone is fetched again and replaced", async () => {
    const { open, cache, requests } = await arrange();
    const repository = await open();
    const all = await repository.list();
    await repository.get("latest");
    const files = filesBelow(cache).map((name) => join(cache, name));
    expect(files).toHaveLength(4);
    const summaries = files.filter((name) => name.endsWith(".summary"));
    const contents = files.map((name) => readFileSync(name));
    const change = (how: (bytes: Buffer) => Buffer) => {
      for (const name of files) writeFileSync(name, how(readFileSync(name)));
    };
    for (const spoil of [
      () => change((bytes) => bytes.fill(7, 40, 41)),
      () => change((bytes) => bytes.subarray(0, 20)),
      () => change(() => Buffer.alloc(0)),
      () => renameSync(summaries[0] ?? "", summaries[1] ?? ""),
      () => {
        for (const name of files) rmSync(name, { force: true });
      },
      () => rmSync(cache, { recursive: true }),
    ]) {
      spoil();
      expect(await repository.list()).toEqual(all);
      expect(await repository.get("latest")).toMatchObject({ id: all[0]?.id });
      expect(files.map((name) => readFileSync(name))).toEqual(contents);
      expect(await requests(() => repository.list())).toEqual(["list snapshots/"]);
    }
  });

  test("one that is larger than what is kept is not held while it is read, and is not kept", async () => {
    const content = makeSnapshot({ at: 0 });
    const { id } = content.snapshot;
    const document = documentOf(content);
    const storage = new LocalStorage(await newDirectory());
    await storage.write(snapshotName(id), document);
    for (const room of [0, -1]) {
      const kept: Uint8Array[] = [];
      const cache = {
        mostBytes: document.length + room,
        get: async () => undefined,
        put: async (_id: string, _what: string, bytes: Uint8Array) => void kept.push(bytes),
        drop: async () => undefined,
      };
      const read = await new Catalog({ storage, logger: silent, cache }).content(id);
      expect(read.snapshot.id).toBe(id);
      expect(kept).toEqual(room < 0 ? [] : [Buffer.from(document)]);
    }
  });

  test("verify reads what is in the repository, not what is kept", async () => {
    const { open, location } = await arrange();
    const repository = await open();
    const [newest] = await repository.list();
    await repository.get("latest");
    const path = join(location, "snapshots", `${newest?.id}.json`);
    writeFileSync(path, readFileSync(path).fill(32, 300, 301));
    expect((await repository.verify()).filter(({ ok }) => !ok)).toMatchObject([
      { snapshot: newest?.id, check: "document" },
    ]);
  });

  test("for the user alone; and nowhere for a local repository, or where it is off", async () => {
    const { open, cache, location, directory } = await arrange();
    const repository = await open();
    await repository.list();
    const modeOf = (path: string) => statSync(path).mode & 0o777;
    expect(modeOf(cache)).toBe(0o700);
    const [file = ""] = filesBelow(cache);
    expect(modeOf(join(cache, file))).toBe(0o600);
    expect(modeOf(join(cache, file, ".."))).toBe(0o700);
    const other = join(directory, "other");
    await (await Repository.open(location, { logger: silent, cache: other })).list();
    const off = { logger: silent, cache: false } as const;
    await (await Repository.open(remote(new LocalStorage(location)), off)).list();
    expect(() => statSync(other)).toThrow(/ENOENT/);
    await expect(open("")).rejects.toThrow(ValidationError);
  });

  test("a directory that others can write to, or a link, is not used", async () => {
    const { open, cache, directory, requests } = await arrange();
    const repository = await open();
    await repository.list();
    chmodSync(cache, 0o770);
    expect((await requests(() => repository.list())).length).toBe(4);
    chmodSync(cache, 0o700);
    expect((await requests(() => repository.list())).length).toBe(1);
    const link = join(directory, "link");
    symlinkSync(cache, link);
    const linked = await open(link);
    expect((await requests(() => linked.list())).length).toBe(4);
  });
});

test("where the cache is: as told, or in the user's own cache directory", () => {
  const of = (env: NodeJS.ProcessEnv, platform: NodeJS.Platform = "linux") =>
    cacheDirectory(undefined, env, platform);
  expect(of({ LANCEDB_BACKUP_CACHE: "off", HOME: "/home/me" })).toBeUndefined();
  expect(of({ LANCEDB_BACKUP_CACHE: "/else/where", HOME: "/home/me" })).toBe("/else/where");
  expect(of({ HOME: "/home/me", XDG_CACHE_HOME: "/var/mine" })).toBe("/var/mine/lancedb-backup");
  expect(of({ HOME: "/home/me", XDG_CACHE_HOME: "relative" })).toBe("/home/me/.cache/lancedb-backup");
  expect(of({ HOME: "/home/me" })).toBe("/home/me/.cache/lancedb-backup");
  expect(of({ HOME: "/Users/me" }, "darwin")).toBe("/Users/me/Library/Caches/lancedb-backup");
  expect(of({ LOCALAPPDATA: "/c/Local" }, "win32")).toBe("/c/Local/lancedb-backup");
  expect(cacheDirectory(false, { LANCEDB_BACKUP_CACHE: "/else/where" })).toBeUndefined();
  expect(cacheDirectory("/given", { LANCEDB_BACKUP_CACHE: "off" })).toBe("/given");
});

describe("a cache of files", () => {
  test("is bounded: the oldest go first, what others write counts, and what the dead left goes too", async () => {
    const directory = join(await newDirectory(), "deep", "cache");
    const { logger, logged } = recordingLogger();
    const trouble = (reason: string) => logger.warn(reason);
    const first = new FileCache(directory, 10_000, trouble);
    const old = new Date(Date.now() - 7_200_000);
    for (let number = 0; number < 20; number++) {
      await first.put(`r/${number}`, Buffer.alloc(800, number));
      const age = new Date(Date.now() - (1000 - number) * 1000);
      if (await first.get(`r/${number}`)) utimesSync(join(directory, `r/${number}`), age, age);
    }
    writeFileSync(join(directory, "r", ".left.tmp"), "half");
    utimesSync(join(directory, "r", ".left.tmp"), old, old);
    const second = new FileCache(directory, 10_000, trouble);
    await second.put("r/new", Buffer.alloc(800, 99));
    const bytes = filesBelow(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
    expect(bytes).toBeLessThanOrEqual(10_000);
    expect(await second.get("r/new")).toEqual(Buffer.alloc(800, 99));
    expect(await second.get("r/19")).toEqual(Buffer.alloc(800, 19));
    expect(await second.get("r/0")).toBeUndefined();
    expect(filesBelow(directory)).not.toContain(join("r", ".left.tmp"));
    await second.put("r/huge", Buffer.alloc(9000));
    expect(await second.get("r/huge")).toBeUndefined();
    expect(logged).toEqual([]);
  });

  test("never fails: what cannot be kept is told once", async () => {
    const place = join(await newDirectory(), "file");
    writeFileSync(place, "no directory");
    const told: string[] = [];
    const cache = new FileCache(join(place, "cache"), 10_000, (reason) => told.push(reason));
    for (let number = 0; number < 3; number++) await cache.put("a", Buffer.from("x"));
    expect(await cache.get("a")).toBeUndefined();
    await cache.drop("a");
    expect(told).toHaveLength(1);
  });
});
