import { chmodSync, readdirSync, readFileSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { encodeSnapshot } from "../../../src/engine/format/encode-snapshot.ts";
import type { Progress } from "../../../src/engine/progress.ts";
import { CorruptError, IoError, ValidationError } from "../../../src/errors.ts";
import { Repository } from "../../../src/repository/repository.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import { newDirectory, recordingLogger } from "../../support/database.ts";
import { FaultyStorage } from "../../support/faulty-storage.ts";
import { filesBelow, stampOf } from "../../support/files.ts";
import { silent } from "../sound.ts";
import { remote } from "../verify-run.ts";
import { assertWhole, contentsOf, newSource, newTarget } from "./places.ts";

const documents = (location: string) =>
  readdirSync(join(location, "snapshots")).map((name) => readFileSync(join(location, "snapshots", name)));

const objectsIn = (location: string) =>
  filesBelow(join(location, "blobs")).map((name) => readFileSync(join(location, "blobs", name)));

describe("snapshots go to another repository", () => {
  test("of the same form: blobs and documents as they are, with their modes", async () => {
    const source = await newSource();
    const { location, repository } = await newTarget(false);
    const before = stampOf(join(source.location, "blobs"));
    const report = await source.repository.copy(repository);
    expect(report.copied.map(({ snapshot }) => snapshot.name)).toEqual(["first", "second", "third"]);
    expect(report).toMatchObject({ dryRun: false, present: [], failed: [] });
    expect(filesBelow(join(location, "blobs"))).toEqual(filesBelow(join(source.location, "blobs")));
    expect(documents(location)).toEqual(documents(source.location));
    const [blob = ""] = filesBelow(join(location, "blobs"));
    const modeOf = (place: string) => statSync(join(place, "blobs", blob)).mode & 0o777;
    expect(modeOf(location)).toBe(modeOf(source.location));
    expect(stampOf(join(source.location, "blobs"))).toEqual(before);
    await assertWhole(repository, source);
  });

  test("from a disk to elsewhere and back to a disk: pieces and bundles, then a file a blob", async () => {
    const source = await newSource();
    const [away, home] = [await newTarget(true), await newTarget(false)];
    const there = await source.repository.copy(away.repository);
    expect(there.copied).toHaveLength(3);
    const files = filesBelow(join(source.location, "blobs")).length;
    expect(filesBelow(join(away.location, "blobs")).length).toBeLessThan(files / 2);
    await assertWhole(away.repository, source);
    const back = await away.repository.copy(home.repository);
    expect(back.copied).toHaveLength(3);
    expect(filesBelow(join(home.location, "blobs"))).toEqual(filesBelow(join(source.location, "blobs")));
    await assertWhole(home.repository, source);
    // Nobody knows of these files who else was to see them.
    for (const blob of filesBelow(join(home.location, "blobs")))
      expect(statSync(join(home.location, "blobs", blob)).mode & 0o777).toBe(0o400);
    const strip = (content: Awaited<ReturnType<typeof contentsOf>>[number]) => ({
      ...content.snapshot,
      ...{ newFiles: 0, newBytes: 0, storedBytes: 0, checksum: "" },
      entries: content.parts.map(({ entries }) => entries),
    });
    expect((await contentsOf(home.location)).map(strip)).toEqual(
      (await contentsOf(source.location)).map(strip),
    );
  });

  test("what a snapshot shares with the one before it is stored once, and is not read again", async () => {
    const source = await newSource();
    const { location, repository } = await newTarget(true);
    await source.repository.copy(repository, { name: "second" });
    const stored = new LocalStorage(source.location);
    const faulty = new FaultyStorage(stored);
    const from = await Repository.open(faulty, { logger: silent });
    const { copied } = await from.copy(repository, { name: "third" });
    const [second, third] = (await contentsOf(location)).filter(({ snapshot }) => snapshot.name !== "first");
    const before = new Set(second?.parts[0]?.entries.map(({ sha256 }) => sha256));
    const news = third?.parts[0]?.entries.filter(({ sha256 }) => !before.has(sha256)) ?? [];
    const reads = faulty.calls.filter(({ method, name }) => method === "read" && name.startsWith("blobs/"));
    expect(new Set(reads.map(({ name }) => name)).size).toBe(new Set(news.map(({ sha256 }) => sha256)).size);
    expect(copied[0]?.storedBytes).toBe(news.reduce((sum, { size }) => sum + size, 0));
    expect(third?.snapshot).toMatchObject({ newFiles: news.length, storedBytes: copied[0]?.storedBytes });
  });

  test("between repositories elsewhere: objects as they are", async () => {
    const source = await newSource();
    const [a, b] = [await newTarget(true), await newTarget(true)];
    await source.repository.copy(a.repository);
    await a.repository.copy(b.repository);
    expect(filesBelow(join(b.location, "blobs"))).toEqual(filesBelow(join(a.location, "blobs")));
    expect(documents(b.location)).toEqual(documents(a.location));
    await assertWhole(b.repository, source, ["third"]);
  });

  test.each([
    ["in a local directory", false],
    ["elsewhere", true],
  ])("%s from plain to compressed, between compressed ones as they are, and back", async (_, isRemote) => {
    const source = await newSource();
    const newEncoded = async (algorithm: "zstd" | "gzip") => {
      const location = join(await newDirectory(), algorithm);
      const local = new LocalStorage(location);
      const compression = { algorithm } as const;
      const storage = isRemote ? remote(local) : local;
      return { location, repository: await Repository.init(storage, { logger: silent, compression }) };
    };
    const [a, b] = [await newEncoded("zstd"), await newEncoded("gzip")];
    await source.repository.copy(a.repository);
    await assertWhole(a.repository, source);
    await a.repository.copy(b.repository);
    expect(documents(b.location)).toEqual(documents(a.location));
    expect(objectsIn(b.location)).toEqual(objectsIn(a.location));
    await assertWhole(b.repository, source, ["third"]);
    for (const target of [await newTarget(false), await newTarget(true)]) {
      const { copied, failed } = await b.repository.copy(target.repository);
      expect([copied.length, failed]).toEqual([3, []]);
      await assertWhole(target.repository, source, ["second"]);
      // The same snapshots by another way.
      expect(await source.repository.copy(target.repository)).toMatchObject({ copied: [], failed: [] });
    }
  });

  test("what is there is not sent again, be it of other form or copied by others", async () => {
    const source = await newSource();
    for (const isRemote of [false, true]) {
      const { location, repository } = await newTarget(isRemote);
      await source.repository.copy(repository);
      const before = stampOf(location);
      const again = await source.repository.copy(repository);
      expect(again).toMatchObject({ copied: [], failed: [] });
      expect(again.present).toHaveLength(3);
      expect(stampOf(location)).toEqual(before);
      // A document that was deleted comes back, without a blob.
      await repository.delete("second");
      const { copied } = await source.repository.copy(repository);
      expect(copied).toMatchObject([{ snapshot: { name: "second" }, storedBytes: 0 }]);
      await assertWhole(repository, source, ["second"]);
    }
  });

  test("by filter; a dry run says which, and writes nothing", async () => {
    const source = await newSource();
    const { location, repository } = await newTarget(true);
    const before = stampOf(location);
    const planned = await source.repository.copy(repository, { tags: ["second-tag"], dryRun: true });
    expect(planned).toMatchObject({
      dryRun: true,
      copied: [{ snapshot: { name: "second" }, storedBytes: 0 }],
    });
    expect(stampOf(location)).toEqual(before);
    const progress: Progress[] = [];
    await source.repository.copy(repository, {
      tags: ["second-tag"],
      onProgress: (one) => progress.push(one),
    });
    expect((await repository.list()).map(({ name, description }) => [name, description])).toEqual([
      ["second", "the second"],
    ]);
    const last = progress.at(-1);
    expect(last).toMatchObject({ phase: "copy", files: last?.totalFiles, bytes: last?.totalBytes });
    progress.reduce((a, b) => {
      expect(b.bytes).toBeGreaterThanOrEqual(a.bytes);
      return b;
    });
  });
});

describe("what cannot be copied", () => {
  test("the same repository is refused, by its id too", async () => {
    const source = await newSource();
    const same = await Repository.open(remote(new LocalStorage(source.location)), { logger: silent });
    await expect(source.repository.copy(same)).rejects.toThrow(ValidationError);
    await expect(source.repository.copy(source.repository)).rejects.toThrow(/the same repository/);
    await expect(source.repository.copy("elsewhere" as never)).rejects.toThrow(TypeError);
    const { repository } = await newTarget(false);
    await expect(source.repository.copy(repository, { tag: "x" } as never)).rejects.toThrow(
      /no option "tag"/,
    );
  });

  test("an id that stands for another snapshot in the target is an error naming both, and nothing is copied", async () => {
    const source = await newSource();
    const { location, repository } = await newTarget(false);
    await source.repository.copy(repository, { name: "second" });
    const [name = ""] = readdirSync(join(location, "snapshots"));
    const [content] = await contentsOf(location);
    if (!content) throw new Error("no snapshot");
    const { checksum: _, ...snapshot } = content.snapshot;
    writeFileSync(
      join(location, "snapshots", name),
      encodeSnapshot({ ...snapshot, description: "another" }, content.parts).bytes,
    );
    const failed = await source.repository.copy(repository).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(ValidationError);
    expect(String(failed)).toContain(join(source.location, "snapshots", name));
    expect(String(failed)).toContain(join(location, "snapshots", name));
    expect(await repository.list()).toHaveLength(1);
  });

  test.each([
    [false, "flipped"],
    [true, "flipped"],
    [false, "gone"],
    [true, "gone"],
    [false, "cut"],
    [true, "cut"],
  ])(
    "a damaged blob of the source (target elsewhere: %s, blob %s): its snapshots are named, the others are copied",
    async (isRemote, how) => {
      const source = await newSource();
      const { repository } = await newTarget(isRemote);
      const [first, , third] = await contentsOf(source.location);
      const before = new Set(first?.parts[0]?.entries.map(({ sha256 }) => sha256));
      const entry = third?.parts[0]?.entries.find(({ sha256 }) => !before.has(sha256));
      const digest = entry?.sha256 ?? "";
      const blob = join(source.location, "blobs", digest.slice(0, 2), digest);
      chmodSync(blob, 0o600);
      const bytes = readFileSync(blob);
      if (how === "gone") unlinkSync(blob);
      else if (how === "cut") writeFileSync(blob, bytes.subarray(1));
      else writeFileSync(blob, bytes.fill((bytes[3] ?? 0) ^ 1, 3, 4));
      const report = await source.repository.copy(repository);
      expect(report.copied.map(({ snapshot }) => snapshot.name)).toContain("first");
      expect(report.failed.length).toBeGreaterThan(0);
      for (const { snapshot, error } of report.failed) {
        expect(error).toBeInstanceOf(CorruptError);
        expect(error.message).toContain(blob);
        expect(error.message).toContain(snapshot);
        expect(error.message).toContain(entry?.path.split("/").slice(1).join("/"));
      }
      expect(report.copied.length + report.failed.length).toBe(3);
      await assertWhole(repository, source, ["first"]);
      expect(await repository.list()).toHaveLength(report.copied.length);
    },
  );

  test("a bundle that is damaged in a repository elsewhere", async () => {
    const source = await newSource();
    const [away, home] = [await newTarget(true), await newTarget(false)];
    await source.repository.copy(away.repository, { name: "first" });
    const [content] = await contentsOf(away.location);
    const [bundle = ""] = content?.parts[0]?.blobs.keys() ?? [];
    const path = join(away.location, "blobs", bundle.slice(0, 2), bundle);
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.fill((bytes[100] ?? 0) ^ 1, 100, 101));
    for (const { repository } of [home, await newTarget(true)]) {
      const report = await away.repository.copy(repository);
      expect(report).toMatchObject({ copied: [], failed: [{ snapshot: content?.snapshot.id }] });
      expect(report.failed[0]?.error.message).toContain(bundle);
      expect(await repository.list()).toEqual([]);
    }
  });

  test("a damaged document of the source is named; with a filter it is warned of", async () => {
    const source = await newSource();
    const [name = ""] = readdirSync(join(source.location, "snapshots"));
    const path = join(source.location, "snapshots", name);
    writeFileSync(path, readFileSync(path).subarray(0, -5));
    const { repository } = await newTarget(true);
    const report = await source.repository.copy(repository);
    expect(report.failed).toMatchObject([{ snapshot: name.slice(0, -5), error: { code: "CORRUPT" } }]);
    expect(report.copied).toHaveLength(2);
  });

  test("a target without its mark is not written to", async () => {
    const source = await newSource();
    const { location, repository } = await newTarget(false);
    await source.repository.copy(repository, { name: "first" });
    unlinkSync(join(location, "repository.json"));
    const opened = await Repository.open(location, { logger: silent });
    await expect(source.repository.copy(opened)).rejects.toThrow(CorruptError);
  });
});

test("a source where nothing can be written is copied all the same, with a warning", async () => {
  const source = await newSource();
  const refused = new FaultyStorage(remote(new LocalStorage(source.location)));
  refused.writeNew = (name) =>
    Promise.reject(new IoError(`Could not write ${name} (EROFS).`, { path: name, errno: "EROFS" }));
  const { logger, logged } = recordingLogger();
  const from = await Repository.open(refused, { logger });
  const { repository } = await newTarget(false);
  expect((await from.copy(repository)).copied).toHaveLength(3);
  expect(logged.filter(({ level }) => level === "warn").map(({ message }) => message)).toEqual([
    expect.stringContaining("nothing can be written in the source"),
    expect.stringContaining("is not in the audit log"),
  ]);
});
