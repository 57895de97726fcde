import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import { passphrase } from "../../../src/engine/keys/passphrase.ts";
import { rawKey } from "../../../src/engine/keys/raw-key.ts";
import { Repository } from "../../../src/repository/repository.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import { newDirectory } from "../../support/database.ts";
import { readerOfTheDocs } from "../../support/documented-reader.ts";
import { filesBelow } from "../../support/files.ts";
import { silent } from "../sound.ts";
import { remote } from "../verify-run.ts";

// What a release has written, later ones read: an archive for each kind of repository (scripts/format-fixtures.ts).

interface Kept {
  readonly id: string;
  readonly rows: Record<string, number>;
  readonly parts: { readonly type: string; readonly id: string; readonly files: Record<string, string> }[];
}

const FIXTURES = join(import.meta.dirname, "fixtures");
const KINDS = readdirSync(FIXTURES).filter((name) => name.endsWith(".tar.gz"));

async function unpack(kind: string) {
  const directory = await newDirectory();
  execFileSync("tar", ["-xzf", join(FIXTURES, kind), "-C", directory]);
  const expected = JSON.parse(readFileSync(join(directory, "expected.json"), "utf8")) as Record<string, Kept>;
  return { directory, location: join(directory, "repository"), expected };
}

const digest = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

test("a repository of every kind of format 2 is kept", () => {
  expect(KINDS).toEqual(["2-encrypted.tar.gz", "2-pieces.tar.gz", "2-plain.tar.gz", "2-zstd.tar.gz"]);
});

/** What opens the encrypted one (scripts/format-fixtures.ts). */
const KEY = Buffer.alloc(32, "raw key");

describe.each(KINDS)("%s", (kind) => {
  const isEncrypted = kind === "2-encrypted.tar.gz";
  const keys = isEncrypted ? [rawKey(KEY)] : undefined;
  const secret = isEncrypted ? KEY : undefined;

  test.each([
    ["in a local directory", (storage: LocalStorage) => storage],
    ["through a storage", remote],
  ])("is listed, verified, restored and written to, %s", async (_where, through) => {
    const { directory, location, expected } = await unpack(kind);
    const repository = await Repository.open(through(new LocalStorage(location)), { logger: silent, keys });
    const listed = await repository.list();
    expect(listed.map(({ name }) => name).sort()).toEqual(Object.keys(expected).sort());
    expect((await repository.verify(undefined, { restoreTest: true })).filter(({ ok }) => !ok)).toEqual([]);
    for (const [name, { id, rows, parts }] of Object.entries(expected)) {
      const found = await repository.get(name);
      expect(found).toMatchObject({ id, tags: ["kept"] });
      expect(Object.fromEntries(found.tables.map((table) => [table.id, table.rows]))).toEqual(rows);
      const target = join(directory, `back-${name}`);
      await repository.restore(id, { target });
      const files = parts.find(({ type }) => type === "lancedb")?.files ?? {};
      for (const [path, sha256] of Object.entries(files)) {
        expect(digest(readFileSync(join(target, path)))).toBe(sha256);
      }
      const db = await connect(target);
      for (const [table, count] of Object.entries(rows)) {
        expect(await (await db.openTable(table)).countRows()).toBe(count);
      }
      db.close();
    }
    await repository.backup({ source: join(directory, "back-second") });
    await repository.prune({ keepLast: 1, graceHours: 0 });
    expect((await repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
  });

  test("is read by the reader that the docs print", async () => {
    const { directory, location, expected } = await unpack(kind);
    const { readSnapshot } = await readerOfTheDocs(directory);
    for (const { id, parts } of Object.values(expected)) {
      const read = readSnapshot(location, id, secret).map(({ source, files }) => ({
        ...{ type: source.type, files: Object.fromEntries([...files].map(([p, b]) => [p, digest(b)])) },
      }));
      expect(read).toEqual(parts.map(({ type, files }) => ({ type, files })));
    }
  });

  test("is left as it was by who only reads it", async () => {
    const { directory, location } = await unpack(kind);
    // But for the audit log, which says that it was read.
    const look = () =>
      filesBelow(location)
        .filter((path) => !path.startsWith("audit/"))
        .map((path) => [path, digest(readFileSync(join(location, path)))]);
    const before = look();
    const repository = await Repository.open(location, { logger: silent, keys });
    await repository.list();
    await repository.verify();
    await repository.restore("first", { target: join(directory, "back") });
    expect(look()).toEqual(before);
  });
});

test("the encrypted one is opened by its passphrase, too", async () => {
  const { location } = await unpack("2-encrypted.tar.gz");
  const keys = [passphrase("correct horse battery")];
  const repository = await Repository.open(location, { logger: silent, keys });
  expect(await repository.list()).toHaveLength(2);
});
