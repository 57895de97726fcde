import { readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { blobName } from "../../src/engine/format/names.ts";
import { rawKey } from "../../src/engine/keys/raw-key.ts";
import type { VerifyOptions } from "../../src/engine/verify/verify-options.ts";
import { Repository } from "../../src/repository/index.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { silent } from "../crash/silent.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";
import { readerOfTheDocs } from "../support/documented-reader.ts";
import { FaultyStorage } from "../support/faulty-storage.ts";
import { PlainSource } from "../support/plain-source.ts";
import { digestOf, putSnapshot } from "./fixture.ts";
import { remote, run } from "./verify-run.ts";

const DAY_MS = 86_400_000;
const BLOBS = 120;
const START = Date.parse("2026-01-01T00:00:00Z");

let storage: LocalStorage;
let now: number;
let names: string[];
const cursorFile = () => join(storage.directory, "verify/rolling.json");
const fileOf = (name: string) => join(storage.directory, blobName(name));

beforeEach(async () => {
  storage = new LocalStorage(await newDirectory());
  now = START;
  const contents = Array.from({ length: BLOBS }, (_, index) => `content ${index + 1000}`);
  const files = Object.fromEntries(contents.map((content, index) => [`data/${index}.lance`, content]));
  await putSnapshot(storage, { at: START, tables: { "t.lance": files } });
  names = contents.map(digestOf).sort();
  for (const name of names) utimesSync(fileOf(name), new Date(START), new Date(START));
});

/** A run, and which blobs it read. */
async function roll(options: VerifyOptions = {}, through = new FaultyStorage(remote(storage))) {
  const results = await run(through, undefined, { rollingDays: 30, ...options }, { now: () => now });
  const read = through.calls
    .filter(({ method, name }) => method === "read" && name.startsWith("blobs/"))
    .map(({ name }) => name.slice(-64));
  return { results, read, rolling: results.find(({ check }) => check === "rolling") };
}

describe("every blob is read within so many days", () => {
  test("by a share a run, of the time since the last one, in turns", async () => {
    const readAt = new Map<string, number>();
    const most: number[] = [];
    for (let day = 0; day < 95; day++) {
      now = START + day * DAY_MS;
      const { read, rolling } = await roll();
      expect(rolling).toMatchObject({ ok: true, snapshot: "" });
      for (const name of read) readAt.set(name, now);
      const oldest = Math.max(...names.map((name) => now - (readAt.get(name) ?? START)));
      expect(oldest).toBeLessThanOrEqual(30 * DAY_MS);
      expect(Math.abs((rolling?.oldestBlobSeconds ?? 0) * 1000 - oldest)).toBeLessThan(DAY_MS);
      most.push(read.length);
    }
    expect(Math.max(...most)).toBeLessThan(BLOBS / 10);
    expect(readFileSync(cursorFile(), "utf8").length).toBeLessThan(20_000);
  });

  test("also where runs are irregular, and blobs come and go", async () => {
    const readAt = new Map<string, number>(names.map((name) => [name, START]));
    const days = [0, 1, 1.5, 9, 9.1, 20, 27, 29, 31, 45, 52, 60, 61, 70, 85, 88];
    for (const [index, day] of days.entries()) {
      now = START + day * DAY_MS;
      const own = `new ${index}`;
      await putSnapshot(storage, { at: now, tables: { "t.lance": { "data/new.lance": own } } });
      utimesSync(fileOf(digestOf(own)), new Date(now), new Date(now));
      readAt.set(digestOf(own), now);
      const { read } = await roll();
      for (const name of read) readAt.set(name, now);
      const next = (days[index + 1] ?? day) - day;
      const before = day - (days[index - 1] ?? day);
      if (next > before) continue; // nobody knew that so much time would pass
      for (const at of readAt.values()) expect(now + next * DAY_MS - at).toBeLessThanOrEqual(30 * DAY_MS + 1);
    }
  });

  test("also where there are more than fit into one call's arguments", async () => {
    const through = new Proxy(remote(storage), {
      get(target, key) {
        if (key !== "list") return Reflect.get(target, key);
        return async function* (prefix: string) {
          yield* target.list(prefix);
          if (prefix !== "blobs/") return;
          for (let index = 0; index < 140_000; index++) {
            const name = blobName(`ff${index.toString(16).padStart(62, "0")}`);
            yield { name, size: 0, modified: new Date(START - 9000) };
          }
        };
      },
    });
    const rolling = await run(through, undefined, { rollingDays: 30 }, { now: () => now });
    expect(rolling.at(-1)).toMatchObject({ check: "rolling", ok: true, oldestBlobSeconds: 9 });
  });

  test("a full verification counts as a turn of all", async () => {
    await roll();
    now += 10 * DAY_MS;
    await run(remote(storage), undefined, {}, { now: () => now });
    const { rolling } = await roll();
    expect(rolling?.oldestBlobSeconds).toBe(0);
    rmSync(cursorFile());
    await run(remote(storage));
    expect(() => readFileSync(cursorFile())).toThrow(); // who does not read by turns has no cursor
  });
});

describe("damage", () => {
  test("is told by every run until it is mended; what cannot be read is not told to be good", async () => {
    const [first = ""] = names;
    const content = readFileSync(fileOf(first));
    rmSync(fileOf(first));
    writeFileSync(fileOf(first), Buffer.alloc(content.length));
    const failed = ({ results }: Awaited<ReturnType<typeof roll>>) =>
      results.flatMap(({ ok, check }) => (ok || check === "repository" ? [] : check)); // there is no mark
    for (let day = 0; day < 3; day++) {
      now = START + day * DAY_MS;
      const found = await roll();
      expect(failed(found)).toEqual(["integrity"]);
      expect(found.read).toContain(first);
    }
    rmSync(fileOf(first));
    expect(failed(await roll())).toEqual(["integrity"]); // missing is seen without reading
    writeFileSync(fileOf(first), content);
    expect(failed(await roll())).toEqual([]);
  });

  test("of the note itself is a warning, and it begins anew", async () => {
    await roll();
    writeFileSync(cursorFile(), "{");
    const { logger, logged } = recordingLogger();
    await run(remote(storage), undefined, { rollingDays: 30 }, { now: () => now, logger });
    expect(logged.filter(({ level }) => level === "warn").map(({ message }) => message)).toMatchObject([
      expect.stringContaining("begins again"),
    ]);
    expect(JSON.parse(readFileSync(cursorFile(), "utf8"))).toMatchObject({ format: 2 });
  });
});

describe("interrupted anywhere it goes on", () => {
  test("by a signal: what was read is not read again", async () => {
    now += 40 * DAY_MS;
    await roll(); // the first run: a share
    now += 40 * DAY_MS;
    const abort = new AbortController();
    const through = new FaultyStorage(remote(storage));
    let seen = 0;
    const onProgress = () => {
      seen++;
      if (seen === 60) abort.abort(new Error("enough"));
    };
    await expect(roll({ signal: abort.signal, onProgress }, through)).rejects.toThrow("enough");
    const { read } = await roll();
    expect(read.length).toBeGreaterThan(0);
    const { rolling } = await roll();
    expect(rolling?.oldestBlobSeconds).toBe(0);
  });

  test("by a store that has gone, at any call: no blob counts as read that was not", async () => {
    const whole = new FaultyStorage(remote(storage));
    await roll({}, whole);
    const before = readFileSync(cursorFile());
    now += 29 * DAY_MS;
    for (let at = 1; at <= whole.calls.length; at += 7) {
      writeFileSync(cursorFile(), before);
      const dying = new FaultyStorage(remote(storage), ({ number }) => (number >= at ? "fail" : undefined));
      const first = await roll({}, dying).then(
        ({ read }) => read,
        () => [],
      );
      const { read, rolling } = await roll();
      expect(new Set([...first, ...read]).size, `call ${at}`).toBe(BLOBS);
      expect(rolling?.oldestBlobSeconds).toBe(0);
    }
  });
});

describe("what a store does not let be read", () => {
  test("does not count as read, and the run says that it ended early", async () => {
    await roll();
    const { stretches } = JSON.parse(readFileSync(cursorFile(), "utf8")).body;
    now += 29 * DAY_MS;
    const out = new FaultyStorage(remote(storage), ({ method, name }) =>
      method === "read" && name.startsWith("blobs/") ? "fail" : undefined,
    );
    expect((await roll({}, out)).rolling).toMatchObject({
      ok: false,
      details: expect.stringContaining("ended early"),
    });
    expect(JSON.parse(readFileSync(cursorFile(), "utf8")).body.stretches).toEqual(stretches);
    expect((await roll()).rolling).toMatchObject({ ok: true, oldestBlobSeconds: 0 });
  });

  test("among others that can be read keeps no run from going on", async () => {
    const [, bad = ""] = names;
    for (let day = 0; day < 3; day++) {
      now += 29 * DAY_MS;
      const through = new FaultyStorage(remote(storage), ({ method, name }) =>
        method === "read" && name.endsWith(bad) ? "fail" : undefined,
      );
      const { read, rolling } = await roll({}, through);
      expect(rolling?.ok).toBe(true);
      expect(read).toContain(bad);
    }
    expect(JSON.parse(readFileSync(cursorFile(), "utf8")).body.damaged).toEqual([bad]);
  });
});

test("what was verified when is sealed in an encrypted repository, and read by the docs' reader; a rewriting forgets it", async () => {
  const directory = await newDirectory();
  const key = Buffer.alloc(32, 5);
  const location = join(directory, "vault");
  const repository = await Repository.init(location, { logger: silent, encryption: { keys: [rawKey(key)] } });
  const files = join(directory, "files");
  await newFile(files);
  await repository.backup({ source: new PlainSource(files) });
  const results = await repository.verify(undefined, { rollingDays: 1 });
  expect(results.at(-1)).toMatchObject({ check: "rolling", ok: true });
  const text = readFileSync(join(location, "verify/rolling.json"), "latin1");
  expect(text).toContain("LANCBLOB");
  const { verifiedAt } = await readerOfTheDocs(directory);
  const at = verifiedAt(location, "a".repeat(64), key);
  expect(Math.abs(Date.parse(at ?? "") - Date.now())).toBeLessThan(60_000);
  await repository.keys.rotate({ rewrite: true });
  expect(() => readFileSync(join(location, "verify/rolling.json"))).toThrow();
  expect((await repository.verify(undefined, { rollingDays: 1 })).every(({ ok }) => ok)).toBe(true);
});

test("wrong uses are refused, and nothing is written", async () => {
  const location = join(await newDirectory(), "vault");
  const repository = await Repository.init(location, { logger: silent });
  for (const options of [
    { rollingDays: 0 },
    { rollingDays: 30, readData: 0.5 },
    { rollingDays: 30, source: "x" },
  ])
    await expect(repository.verify(undefined, options)).rejects.toMatchObject({ code: "VALIDATION" });
  await expect(repository.verify("latest", { rollingDays: 30 })).rejects.toMatchObject({
    code: "VALIDATION",
  });
  await expect(repository.verify(undefined, { rollingDays: "30d" as never })).rejects.toThrow(TypeError);
  const readOnly = await Repository.open(location, { logger: silent, readOnly: true });
  await expect(readOnly.verify(undefined, { rollingDays: 30 })).rejects.toMatchObject({ errno: "EROFS" });
});

async function newFile(directory: string): Promise<void> {
  const { mkdirSync } = await import("node:fs");
  mkdirSync(directory);
  writeFileSync(join(directory, "a.txt"), "content");
}
