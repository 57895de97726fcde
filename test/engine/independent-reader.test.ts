import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { passphrase } from "../../src/engine/keys/passphrase.ts";
import { rawKey } from "../../src/engine/keys/raw-key.ts";
import { Repository } from "../../src/repository/repository.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { silent } from "../crash/silent.ts";
import { remote } from "../repository/verify-run.ts";
import { newDirectory } from "../support/database.ts";
import { readerOfTheDocs } from "../support/documented-reader.ts";
import { makeSampleTable } from "../support/sample.ts";

const raw = Buffer.alloc(32, 9);

test.each([
  ["in a local directory", (storage: LocalStorage) => storage, {}],
  ["elsewhere, in pieces and bundles", remote, { compression: { algorithm: "none" } }],
  ["compressed by zstd", (storage: LocalStorage) => storage, { compression: { algorithm: "zstd" } }],
  ["elsewhere, compressed by gzip", remote, { compression: { algorithm: "gzip", level: 1 } }],
  [
    "encrypted, for raw bytes",
    (storage: LocalStorage) => storage,
    { encryption: { keys: [rawKey(raw)] } },
    raw,
  ],
  [
    "elsewhere, encrypted, for a passphrase",
    remote,
    { encryption: { keys: [passphrase("correct horse")] } },
    "correct horse",
  ],
] as const)(
  "a repository %s is read by the reader that the docs print",
  async (_where, through, options, secret?: string | Buffer) => {
    const directory = await newDirectory();
    const [uri, location] = [join(directory, "db"), join(directory, "repository")];
    const db = await connect(uri);
    await makeSampleTable(db, "main", { indices: true });
    const vectors = Array.from({ length: 9000 }, (_, id) => ({
      id,
      vector: Array.from({ length: 768 }, (_, index) => Math.sin(id * 768 + index)),
    }));
    await db.createTable("large", vectors); // a file of more than a blob
    db.close();
    const repository = await Repository.init(through(new LocalStorage(location)), {
      logger: silent,
      ...options,
    });
    const { id, files, tables } = await repository.backup({ source: uri });
    const { readSnapshot } = await readerOfTheDocs(directory);
    const [part, ...others] = readSnapshot(location, id, secret);
    expect(others).toEqual([]);
    expect(part?.source).toMatchObject({ type: "lancedb", uri });
    expect(part?.files.size).toBe(files);
    expect(Math.max(...[...(part?.files.values() ?? [])].map(({ length }) => length))).toBeGreaterThan(
      16 << 20,
    );
    for (const [path, content] of part?.files ?? []) {
      expect(content.equals(readFileSync(join(uri, path)))).toBe(true);
    }
    expect(tables.map((table) => table.id)).toEqual(["large", "main"]);
  },
);

test("an encrypted repository whose keys were rotated is read by the reader that the docs print", async () => {
  const directory = await newDirectory();
  const [uri, location] = [join(directory, "db"), join(directory, "repository")];
  const db = await connect(uri);
  await makeSampleTable(db, "main");
  const encryption = { keys: [rawKey(raw)] };
  const repository = await Repository.init(location, { logger: silent, encryption });
  const ids = [(await repository.backup({ source: uri })).id];
  await repository.keys.rotate();
  await makeSampleTable(db, "other");
  db.close();
  ids.push((await repository.backup({ source: uri })).id);
  const { readSnapshot } = await readerOfTheDocs(directory);
  for (const rewrite of [false, true]) {
    if (rewrite) await repository.keys.rotate({ rewrite });
    for (const id of ids) {
      for (const [path, content] of readSnapshot(location, id, raw)[0]?.files ?? []) {
        expect(content.equals(readFileSync(join(uri, path)))).toBe(true);
      }
    }
    expect(readSnapshot(location, ids[1] ?? "", raw)[0]?.files.size).toBeGreaterThan(5);
  }
  expect(() => readSnapshot(location, ids[0] ?? "", Buffer.alloc(32, 8))).toThrow("no slot");
});
