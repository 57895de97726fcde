import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { rawKey } from "../../src/engine/keys/raw-key.ts";
import type { Capture, Entry, Source } from "../../src/engine/source-contract.ts";
import { IoError, isNotFound, NotFoundError } from "../../src/errors.ts";
import { toReadError } from "../../src/fs/io.ts";
import { Repository } from "../../src/repository/repository.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { silent } from "../crash/silent.ts";
import { newDirectory } from "../support/database.ts";
import { FaultyStorage } from "../support/faulty-storage.ts";

/** A local one where files are pieces, as elsewhere: nobody is told of its directory. */
class RemoteStorage extends FaultyStorage {
  override get local(): undefined {
    return undefined;
  }
}

const storages: readonly (readonly [string, (place: string) => Storage])[] = [
  ["a local repository", (place) => new LocalStorage(place)],
  ["a repository of pieces", (place) => new RemoteStorage(new LocalStorage(place))],
];

/** Has one file, made anew under another name at each capture. `lose` says how the first capture's is lost. */
function sourceOf(directory: string, lose: (file: string) => void): Source & { captures: number } {
  return {
    ...{ type: "plain", id: "plain-1", uri: directory, captures: 0 },
    async capture(): Promise<Capture> {
      const path = `file-${++this.captures}`;
      const file = join(directory, path);
      writeFileSync(file, path);
      if (this.captures === 1) lose(file);
      const entry: Entry = {
        ...{ path, size: path.length, file },
        open: () => new LocalStorage(directory).read(path),
      };
      return {
        capturedAt: new Date(),
        async *entries() {
          yield entry;
        },
        finish: async () => ({ about: {}, details: {} }),
        [Symbol.asyncDispose]: async () => undefined,
      };
    },
  };
}

describe.each(storages)("%s", (_name, storageAt) => {
  test("a file that has gone has all captured anew", async () => {
    const directory = await newDirectory();
    mkdirSync(join(directory, "files"));
    const repository = await Repository.init(storageAt(join(directory, "repository")), { logger: silent });
    const source = sourceOf(join(directory, "files"), (file) => rmSync(file));
    await repository.backup({ source });
    expect(source.captures).toBe(2);
    expect(await repository.list()).toHaveLength(1);
  });

  test("a capture that loses a file is made anew; what cannot be read is not", async () => {
    const directory = await newDirectory();
    mkdirSync(join(directory, "files"));
    const repository = await Repository.init(storageAt(join(directory, "repository")), { logger: silent });
    const losing = sourceOf(join(directory, "files"), (path) => {
      throw new NotFoundError("It has gone.", { path });
    });
    await repository.backup({ source: losing });
    expect(losing.captures).toBe(2);
    const refused = new IoError("It is refused.", { path: "x", errno: "EACCES" });
    const refusing = sourceOf(join(directory, "files"), () => {
      throw refused;
    });
    await expect(repository.backup({ source: refusing })).rejects.toBe(refused);
    expect(refusing.captures).toBe(1);
  });
});

test("what the system calls missing is NOT_FOUND to a reader, with its place; all else is not", () => {
  const missing = toReadError(Object.assign(new Error("no"), { code: "ENOENT" }), "/a/b");
  expect(missing).toMatchObject({ name: "NotFoundError", code: "NOT_FOUND", errno: "ENOENT", path: "/a/b" });
  expect(missing).toBeInstanceOf(IoError);
  expect(isNotFound(missing)).toBe(true);
  expect(toReadError(missing, "/c")).toBe(missing);
  const told = toReadError(new IoError("Gone, says somebody.", { errno: "ENOENT" }), "/a/b");
  expect(told).toMatchObject({ code: "NOT_FOUND", message: "Gone, says somebody." });
  const others = [
    toReadError(Object.assign(new Error("no"), { code: "EACCES" }), "/a/b"),
    new IoError("away", { errno: "ENOENT" }),
    new Error("NOT_FOUND"),
    undefined,
  ];
  for (const other of others) expect(isNotFound(other)).toBe(false);
});

test("files of a megabyte are read where they lie, each into the memory of the one before, and share a blob", async () => {
  const directory = await newDirectory();
  const contents = [1, 2, 3].map((byte) => Buffer.alloc(1_000_000 + byte, byte));
  const entries = contents.map((content, index): Entry => {
    const file = join(directory, `file-${index}`);
    writeFileSync(file, content);
    const open = () => {
      throw new Error("it is no stream");
    };
    return { path: `file-${index}`, size: content.length, file, open };
  });
  const source: Source = {
    ...{ type: "plain", id: "plain-1", uri: directory },
    capture: async () => ({
      capturedAt: new Date(),
      async *entries() {
        yield* entries;
      },
      finish: async () => ({ about: {}, details: {} }),
      [Symbol.asyncDispose]: async () => undefined,
    }),
  };
  const storage = new RemoteStorage(new LocalStorage(join(directory, "repository")));
  const repository = await Repository.init(storage, {
    ...{
      logger: silent,
      compression: { algorithm: "zstd" },
      encryption: { keys: [rawKey(Buffer.alloc(32, 1))] },
    },
  });
  await repository.backup({ source });
  expect((await repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
});
