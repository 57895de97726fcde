import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ValidationError } from "../../src/errors.ts";
import { Repository } from "../../src/repository/repository.ts";
import type { ReadOptions } from "../../src/storage/storage.ts";
import { MemoryStorage } from "../conformance/memory-storage.ts";
import { silent } from "../crash/silent.ts";
import { newDirectory } from "../support/database.ts";
import { treeAt } from "../support/trees.ts";

/** Reads of blobs wait for each other until so many are under way. */
class Gathering extends MemoryStorage {
  most = 0;
  #wanted = 0;
  #underWay = 0;
  #gathered = Promise.withResolvers<void>();

  waitFor(wanted: number): void {
    this.#wanted = wanted;
    this.#gathered = Promise.withResolvers();
  }

  override async *read(name: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    if (!name.startsWith("blobs/")) return yield* super.read(name, options);
    this.#underWay++;
    this.most = Math.max(this.most, this.#underWay);
    if (this.#underWay >= this.#wanted) this.#gathered.resolve();
    try {
      await this.#gathered.promise;
      yield* super.read(name, options);
    } finally {
      this.#underWay--;
    }
  }
}

test.each([
  ["a file of many pieces", [12 << 20]],
  ["files of a bundle each", Array.from({ length: 6 }, () => 3 << 20)],
])("of %s as many reads are under way as `parallel` says", async (_what, sizes) => {
  const directory = await newDirectory();
  const tree = join(directory, "tree");
  mkdirSync(tree);
  for (const [index, size] of sizes.entries()) writeFileSync(join(tree, `f${index}`), randomBytes(size));
  const storage = new Gathering();
  const repository = await Repository.init(storage, { logger: silent });
  const { id } = await repository.backup({ source: tree });
  const restore = (parallel: number) =>
    repository.restore(id, { target: join(directory, `${parallel}`), parallel });
  await restore(1);
  expect(storage.most).toBe(1);
  storage.waitFor(2);
  await restore(2);
  expect(storage.most).toBe(2);
  expect(treeAt(join(directory, "2"))).toEqual(treeAt(tree));
  await expect(restore(0)).rejects.toThrow(ValidationError);
});
