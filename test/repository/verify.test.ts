import { describe, expect, test } from "vitest";
import type { Progress } from "../../src/engine/progress.ts";
import { BackupNotFoundError, CorruptError, ValidationError } from "../../src/errors.ts";
import { LanceCatalog } from "../../src/sources/lancedb/lance-catalog.ts";
import { BROKEN_BLOBS } from "./broken.ts";
import { silent, soundRepository } from "./sound.ts";
import { bad, run, short } from "./verify-run.ts";

describe("a sound repository", () => {
  test("gives one result a snapshot and check, then one for itself", async () => {
    const { storage, first, second } = await soundRepository();
    const results = await run(storage);
    const [one, two] = [first.snapshot.id, second.snapshot.id].sort();
    expect(results.map(short)).toEqual([
      `${one} integrity ok`,
      `${one} completeness ok`,
      `${two} integrity ok`,
      `${two} completeness ok`,
      " repository ok",
    ]);
    const { files, bytes } = second.snapshot;
    const distinct = new Set([...second.files.values()].flat().map((file) => file.sha256)).size;
    expect(
      results.filter(({ snapshot }) => snapshot === second.snapshot.id).map(({ details }) => details),
    ).toEqual([
      `${files} files in ${distinct} blobs, ${bytes.toLocaleString("en")} bytes: every byte hashed.`,
      `${second.snapshot.tables.reduce((sum, table) => sum + table.versionCount, 0)} versions of 2 tables: every file that a manifest names is there, with its size.`,
    ]);
    expect(results.at(-1)?.details).toBe("Nothing is wrong with it.");
  });

  test("is read once, however many snapshots share a blob, and its progress only grows", async () => {
    const { storage, first, second } = await soundRepository();
    const seen: Progress[] = [];
    await run(storage, undefined, { onProgress: (progress) => void seen.push(progress) });
    const blobs = new Map(
      [first, second]
        .flatMap(({ files }) => [...files.values()].flat())
        .map((file) => [file.sha256, file.size]),
    );
    expect(seen).toHaveLength(blobs.size);
    expect(seen.map(({ files }) => files)).toEqual(seen.map((_, index) => index + 1));
    const totalBytes = [...blobs.values()].reduce((sum, size) => sum + size, 0);
    expect(seen.at(-1)).toEqual({
      phase: "verify",
      files: blobs.size,
      bytes: totalBytes,
      totalFiles: blobs.size,
      totalBytes,
    });
  });

  test("one snapshot is verified by id, name or latest, without the others", async () => {
    const { storage, first, second, directory } = await soundRepository();
    await BROKEN_BLOBS["a bit of a blob is flipped"]?.({ storage, first, second, directory, uri: "" });
    expect((await run(storage, first.snapshot.id)).map(short)).toEqual([
      `${first.snapshot.id} integrity ok`,
      `${first.snapshot.id} completeness ok`,
    ]);
    await expect(run(storage, "20260101T000000Z-00000000")).rejects.toThrow(BackupNotFoundError);
    await expect(run(storage, "no-such-name")).rejects.toThrow(BackupNotFoundError);
  });

  test("the smallest size that is wanted is a check of its own", async () => {
    const { storage, first } = await soundRepository();
    const { id, bytes } = first.snapshot;
    expect((await run(storage, id, { checks: [{ minBytes: bytes }] })).map(short)).toEqual([
      `${id} minBytes ok`,
    ]);
    const [result] = await run(storage, id, { checks: [{ minBytes: bytes + 1 }] });
    expect(result).toMatchObject({ ok: false, check: "minBytes", error: expect.any(CorruptError) });
    expect(result?.details).toContain(
      `${bytes.toLocaleString("en")} bytes, and at least ${(bytes + 1).toLocaleString("en")}`,
    );
  });

  test("a restore test adds its results, and where it fails a failed one", async () => {
    const { storage, first } = await soundRepository();
    const { id } = first.snapshot;
    const restoreTest = async () => [{ snapshot: id, check: "restore", ok: true, details: "" }];
    const options = { checks: [], restoreTest: true };
    expect((await run(storage, id, options, { restoreTest })).map(short)).toEqual([`${id} restore ok`]);
    const failing = () => Promise.reject(new CorruptError("no"));
    expect((await run(storage, id, options, { restoreTest: failing })).map(short)).toEqual([
      `${id} restore FAILED`,
    ]);
    expect(await run(storage, id, { checks: [] }, { restoreTest })).toEqual([]);
  });

  test.each([
    { checks: ["speed"] },
    { checks: [{ minBytes: -1 }] },
    { checks: [{}] },
    { readData: 1.5 },
    { readData: Number.NaN },
  ])("wrong options are refused: %j", async (options) => {
    const { storage } = await soundRepository();
    await expect(run(storage, undefined, options as never)).rejects.toThrow(ValidationError);
  });

  test("an abort ends it with the signal's reason", async () => {
    const { storage } = await soundRepository();
    const abort = new AbortController();
    const onProgress = () => abort.abort(new Error("enough"));
    await expect(run(storage, undefined, { signal: abort.signal, onProgress })).rejects.toThrow("enough");
  });
});

describe("a part of the blobs", () => {
  test("none: sizes alone, so a flipped bit goes unseen and a cut is seen", async () => {
    const repository = await soundRepository();
    const { storage, second } = repository;
    await BROKEN_BLOBS["a bit of a blob is flipped"]?.(repository);
    const flipped = await run(storage, second.snapshot.id, { readData: false });
    expect(flipped.map(({ ok }) => ok)).toEqual([true, true]);
    expect(flipped[0]?.details).toContain("sizes only");
    await BROKEN_BLOBS["a blob is cut short"]?.(repository);
    bad(await run(storage, second.snapshot.id, { readData: false }), "integrity", second.snapshot.id);
  });

  test("a tenth is chosen by chance, rounded up, of all blobs", async () => {
    const { storage, second } = await soundRepository();
    const blobs = new Set([...second.files.values()].flat().map((file) => file.sha256)).size;
    const seen: Progress[] = [];
    const onProgress = (progress: Progress) => void seen.push(progress);
    const [result] = await run(
      storage,
      second.snapshot.id,
      { readData: 0.1, onProgress },
      { random: () => 0.999 },
    );
    expect(seen.at(-1)?.totalFiles).toBe(Math.ceil(blobs / 10));
    expect(result?.details).toContain(`${Math.ceil(blobs / 10)} of the blobs hashed`);
  });

  test("a flip is found when its blob is among the chosen", async () => {
    const repository = await soundRepository();
    await BROKEN_BLOBS["a bit of a blob is flipped"]?.(repository);
    const { id } = repository.second.snapshot;
    const found: boolean[] = [];
    for (let at = 0; at < 1; at += 0.02) {
      const [result] = await run(
        repository.storage,
        id,
        { checks: ["integrity"], readData: 0.01 },
        { random: () => at },
      );
      found.push(result?.ok === false);
    }
    expect(new Set(found)).toEqual(new Set([true, false]));
  });
});

test("a snapshot that is deleted while it is verified has no result, and is no failure", async () => {
  const { storage, first, second } = await soundRepository();
  const whole = new LanceCatalog({ storage, logger: silent }).stored;
  let looks = 0;
  const content = async (id: string) => {
    const isFirst = id === first.snapshot.id;
    if (isFirst && ++looks === 2) await whole.delete(id);
    return whole.content(id);
  };
  const catalog = {
    ids: () => whole.ids(),
    list: () => whole.list(),
    resolve: (id: string) => whole.resolve(id),
    content,
  };
  const results = await run(storage, undefined, {}, { catalog });
  const { id } = second.snapshot;
  expect(results.map(short)).toEqual([`${id} integrity ok`, `${id} completeness ok`, " repository ok"]);
});
