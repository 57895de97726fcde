import { chmodSync, existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { blobName } from "../../src/engine/format/names.ts";
import { verify } from "../../src/engine/verify/verify-snapshots.ts";
import { CorruptError, UnsupportedError } from "../../src/errors.ts";
import { LanceCatalog } from "../../src/sources/lancedb/lance-catalog.ts";
import { BROKEN_BLOBS, BROKEN_DOCUMENTS, flipBit, ODD_REPOSITORIES } from "./broken.ts";
import { blobsOf, completenessIn, storedOf } from "./lance-parts.ts";
import { silent, soundRepository } from "./sound.ts";
import { bad, remote, run, short } from "./verify-run.ts";

describe.each(Object.entries(BROKEN_BLOBS))("%s", (_name, breakIt) => {
  test.each(["local", "remote"])(
    "verify names file and blob, and blames no other snapshot (%s)",
    async (kind) => {
      const repository = await soundRepository();
      const { hurt, object, file } = await breakIt(repository);
      const storage = kind === "local" ? repository.storage : remote(repository.storage);
      const results = await run(storage);
      for (const id of hurt) {
        const { details, error } = bad(results, "integrity", id);
        expect(details).toContain(`: ${file?.path} (${object} `);
        expect(error).toBeInstanceOf(CorruptError);
        expect((error as CorruptError).path).toMatch(/\/blobs\//);
      }
      const failing = new Set(results.filter(({ ok }) => !ok).map(({ snapshot }) => snapshot));
      failing.delete(""); // links and directories are the repository's, too
      expect([...failing].sort()).toEqual([...hurt].sort());
    },
  );

  test("completeness fails just where a file is missing or has another size", async () => {
    const repository = await soundRepository();
    const { object, file } = await breakIt(repository);
    const { id } = repository.second.snapshot;
    const [result] = await run(repository.storage, id, { checks: ["completeness"] });
    const found = await repository.storage.stat(object);
    expect(result?.ok).toBe(found?.size === file?.size);
    if (!result?.ok) expect(result?.details).toContain(`${file?.path} (${object} `);
  });
});

describe.each(Object.entries(BROKEN_DOCUMENTS))("%s", (name, breakIt) => {
  test("is one failed result, document, and the other snapshot is sound", async () => {
    const repository = await soundRepository();
    const { hurt, object } = await breakIt(repository);
    const results = await run(repository.storage);
    const { id } = repository.first.snapshot;
    const expected = [
      `${hurt[0]} document FAILED`,
      " repository ok",
      `${id} integrity ok`,
      `${id} completeness ok`,
    ];
    expect(results.map(short).sort()).toEqual(expected.sort());
    const { details, error } = bad(results, "document", hurt[0] ?? "");
    expect(details).toContain(join(repository.directory, object));
    expect(error).toBeInstanceOf(name.includes("newer format") ? UnsupportedError : CorruptError);
    expect(existsSync(join(repository.directory, "..", "..", "outside.lance"))).toBe(false);
    expect((await run(repository.storage, hurt[0])).map(short)).toEqual([`${hurt[0]} document FAILED`]);
  });
});

describe.each(Object.entries(ODD_REPOSITORIES))("%s", (name, breakIt) => {
  test("is told, and no sound snapshot is blamed", async () => {
    const repository = await soundRepository();
    const { hurt, object } = await breakIt(repository);
    const results = await run(repository.storage);
    const own = results.at(-1);
    expect(own?.check).toBe("repository");
    const blamed = results
      .filter(({ ok, snapshot }) => !ok && snapshot !== "")
      .map(({ snapshot }) => snapshot);
    const readable = hurt.filter((id) => results.some(({ snapshot }) => snapshot === id));
    expect([...new Set(blamed)].sort()).toEqual(readable.sort());
    const harmless = /named by no snapshot|half-written|mixed in/.test(name);
    expect([name, own?.ok]).toEqual([name, harmless]);
    if (!name.includes("mixed in")) expect(own?.details).toContain(object.replace(/^blobs\/ab\//, ""));
  });
});

test.each(["copy.json", "ID (1).json", "ID.JSON"])(
  "a document under the name %s is told: nobody knows what it needs",
  async (name) => {
    const { directory, storage, second } = await soundRepository();
    const folder = join(directory, "snapshots");
    const { id } = second.snapshot;
    renameSync(join(folder, `${id}.json`), join(folder, name.replace("ID", id)));
    const { details } = bad(await run(storage), "repository", "");
    expect(details).toContain(name.replace("ID", id));
  },
);

test("a snapshot whose blobs another repository has is told by its own manifests' blobs", async () => {
  const repository = await soundRepository();
  const { hurt } = (await ODD_REPOSITORIES["another repository's documents are mixed in"]?.(repository)) ?? {
    hurt: [],
  };
  const results = await run(repository.storage);
  expect(hurt).toHaveLength(2);
  for (const id of hurt)
    expect(bad(results, "integrity", id).details).toMatch(
      /_versions\/\d+\.manifest \(blobs\/.* is missing\)/,
    );
});

test("a snapshot that lacks a file which one of its manifests names is not complete", async () => {
  const repository = await soundRepository();
  const { storage, second } = repository;
  const whole = new LanceCatalog({ storage, logger: silent }).stored;
  const lacking = { ...second, files: new Map(second.files) };
  const files = second.files.get("main.lance") ?? [];
  const gone = files.find((file) => file.path.startsWith("_deletions/"));
  lacking.files.set(
    "main.lance",
    files.filter((file) => file !== gone),
  );
  const catalog = {
    ids: () => whole.ids(),
    list: () => whole.list(),
    resolve: (id: string) => whole.resolve(id),
    content: async () => storedOf(lacking),
  };
  const [result] = await verify(
    { blobs: blobsOf(storage), catalog, logger: silent, completeness: completenessIn(storage) },
    second.snapshot.id,
    { checks: ["completeness"] },
  );
  expect(result?.ok).toBe(false);
  expect(result?.details).toMatch(
    new RegExp(`main: version \\d+ needs ${gone?.path}, which is not in the snapshot`),
  );
});

test("a manifest that is damaged makes the snapshot incomplete, and integrity names its blob", async () => {
  const { storage, second, directory } = await soundRepository();
  const manifest = (second.files.get("main.lance") ?? []).find((file) => file.path.startsWith("_versions/"));
  const name = blobName(manifest?.sha256 ?? "");
  chmodSync(join(directory, name), 0o644);
  flipBit(join(directory, name), 40);
  const { id } = second.snapshot;
  const results = await run(storage, id);
  expect(bad(results, "integrity", id).details).toContain(name);
  expect(bad(results, "completeness", id).details).toContain(`its manifest (${name}) is damaged`);
});
