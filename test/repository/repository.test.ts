import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, onTestFinished, test } from "vitest";
import { Repository, ValidationError } from "../../src/index.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { snapshotOf } from "../support/snapshot.ts";

async function arrange() {
  const directory = await newDirectory();
  const [uri, location] = [join(directory, "db"), join(directory, "repository")];
  const db = await connect(uri);
  onTestFinished(() => db.close());
  const { logger, logged } = recordingLogger();
  return { directory, uri, location, db, logger, logged };
}

test("from a first backup to every way back", async () => {
  const { directory, uri, location, db, logger } = await arrange();
  const table = await makeSampleTable(db, "main", { indices: true });
  await using repository = await Repository.init(location, { logger });
  const first = await repository.backup({ source: uri, name: "first" });
  const before = await snapshotOf(db);
  await table.add(sampleRows(100, 10));
  const second = await repository.backup({ source: uri, tags: ["later"] });

  expect((await repository.list()).map(({ id }) => id)).toEqual([second.id, first.id]);
  expect((await repository.list({ tags: ["later"] })).map(({ id }) => id)).toEqual([second.id]);
  expect((await repository.get("first")).id).toBe(first.id);
  expect((await repository.get("latest")).id).toBe(second.id);

  const results = await repository.verify(undefined, { restoreTest: true });
  expect(results.filter(({ ok }) => !ok)).toEqual([]);
  expect(results.some(({ check }) => check === "restore:main")).toBe(true);
  expect(results.filter(({ check }) => check.startsWith("restore:main/"))).toHaveLength(6);

  const target = join(directory, "back");
  await repository.restore("first", { target });
  expect(await snapshotOf(await connect(target))).toEqual(before);

  {
    await using opened = await repository.openSnapshot("first");
    expect(await snapshotOf(opened)).toEqual(before);
  }

  await repository.restore("first", { target: uri, mode: "in-place" });
  expect(await snapshotOf(db)).toEqual(before);

  await repository.delete("first");
  expect((await repository.list()).map(({ id }) => id)).toEqual([second.id]);
  await repository.prune({ graceHours: 0 });
  expect((await repository.verify()).every(({ ok }) => ok)).toBe(true);
});

test("scrub finds a flipped bit in the live database and mends it", async () => {
  const { uri, location, db, logger, logged } = await arrange();
  await makeSampleTable(db, "main");
  const repository = await Repository.init(location, { logger });
  await repository.backup({ source: uri });
  const data = join(uri, "main.lance", "data");
  const file = join(data, readdirSync(data)[0] ?? "");
  const whole = readFileSync(file);
  const bad = Buffer.from(whole);
  bad[40] = (bad[40] ?? 0) ^ 1;
  writeFileSync(file, bad);
  const found = await repository.scrub(uri);
  expect(found.damage).toHaveLength(1);
  expect(found.damage[0]).toMatchObject({ table: "main", kind: "data", problem: "content", mended: false });
  const mended = await repository.scrub(uri, { heal: true });
  expect(mended.damage[0]).toMatchObject({ mended: true });
  expect(readFileSync(file)).toEqual(whole);
  expect((await repository.scrub(uri)).damage).toEqual([]);
  expect(logged.some(({ message }) => message === "a damaged file was healed")).toBe(true);
});

test("a repository is made once, and found again", async () => {
  const { location, logger } = await arrange();
  await expect(Repository.open(location, { logger })).rejects.toMatchObject({ code: "VALIDATION" });
  const made = await Repository.init(location, { logger });
  await expect(Repository.init(location, { logger })).rejects.toMatchObject({ code: "VALIDATION" });
  expect((await Repository.open(location, { logger })).id).toBe(made.id);
  expect((await Repository.open(`file://${location}`, { logger })).id).toBe(made.id);
});

test("without its mark a repository is read, and not written to", async () => {
  const { directory, uri, location, db, logger, logged } = await arrange();
  await makeSampleTable(db, "main");
  await (await Repository.init(location, { logger })).backup({ source: uri, name: "first" });
  rmSync(join(location, "repository.json"));
  await expect(Repository.init(location, { logger })).rejects.toMatchObject({ code: "VALIDATION" });
  const repository = await Repository.open(location, { logger });
  expect(logged.some(({ message }) => message.includes("no repository.json"))).toBe(true);
  const refused = { code: "CORRUPT", message: expect.stringContaining("repository.json") };
  await expect(repository.backup({ source: uri })).rejects.toMatchObject(refused);
  await expect(repository.delete("first")).rejects.toMatchObject(refused);
  await expect(repository.prune()).rejects.toMatchObject(refused);
  expect((await repository.verify()).find(({ check }) => check === "repository")?.ok).toBe(false);
  const target = join(directory, "back");
  await repository.restore("first", { target });
  expect(await snapshotOf(await connect(target))).toEqual(await snapshotOf(db));
});

test("a mark that is damaged or newer is refused by its class", async () => {
  const { location, logger } = await arrange();
  await Repository.init(location, { logger });
  const path = join(location, "repository.json");
  const text = readFileSync(path, "utf8");
  writeFileSync(path, text.slice(0, 40));
  await expect(Repository.open(location, { logger })).rejects.toMatchObject({ code: "CORRUPT" });
  writeFileSync(path, text.replace('"format": 2', '"format": 3'));
  await expect(Repository.open(location, { logger })).rejects.toMatchObject({ code: "UNSUPPORTED" });
});

test.each([
  [() => Repository.init(undefined as never), TypeError],
  [() => Repository.init("x", null as never), TypeError],
  [() => Repository.init("x", { logger: {} as never }), TypeError],
  [() => Repository.init({} as never), TypeError],
])("mistakes in the types are TypeErrors (%#)", async (call, kind) => {
  await expect(call()).rejects.toThrow(kind);
});

test("an unknown place is refused by name", async () => {
  await expect(Repository.open("gs://bucket/vault")).rejects.toMatchObject({ code: "UNSUPPORTED" });
  await expect(Repository.open("")).rejects.toMatchObject({ code: "VALIDATION" });
});

type Asked = (repository: Repository, uri: string, target: string, options: never) => Promise<unknown>;
const ASKED: [string, Asked][] = [
  ["backup", (repository, uri, _, options) => repository.backup({ source: uri, ...(options as object) })],
  [
    "restore",
    (repository, _, target, options) => repository.restore("a", { target, ...(options as object) }),
  ],
  ["openSnapshot", (repository, _, _target, options) => repository.openSnapshot("a", options)],
  ["verify", (repository, _, _target, options) => repository.verify("a", options)],
  ["diff", (repository, _, _target, options) => repository.diff("a", "a", options)],
  ["scrub", (repository, uri, _, options) => repository.scrub(uri, options)],
  ["prune", (repository, _, _target, options) => repository.prune(options)],
];
test("options of a wrong type are TypeErrors in every call, and nothing is done", async () => {
  const { uri, location, directory, db, logger } = await arrange();
  await makeSampleTable(db, "main");
  await using repository = await Repository.init(location, { logger });
  await repository.backup({ source: uri, name: "a" });
  const names = () => readdirSync(location, { recursive: true }).sort();
  const before = names();
  const target = join(directory, "target");
  for (const [name, ask] of ASKED) {
    const wrong = ask(repository, uri, target, { signal: "soon" } as never);
    await expect(wrong, `${name}, signal`).rejects.toThrow(
      new TypeError("signal must be an AbortSignal, not string."),
    );
    const misspelt = ask(repository, uri, target, { tabel: ["a"] } as never);
    await expect(misspelt, `${name}, misspelt`).rejects.toThrow(ValidationError);
    if (name === "backup" || name === "restore") {
      const late = ask(repository, uri, target, { lockTimeoutMs: "1" } as never);
      await expect(late, `${name}, lockTimeoutMs`).rejects.toThrow(TypeError);
    } else await expect(ask(repository, uri, target, null as never), name).rejects.toThrow(TypeError);
  }
  expect(names()).toEqual(before);
  expect(readdirSync(directory).sort()).toEqual(["db", "repository"]);
});
