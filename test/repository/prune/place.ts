import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { expect, onTestFinished } from "vitest";
import { blobName, parseBlobName } from "../../../src/engine/format/names.ts";
import { type PruneOptions, prune } from "../../../src/engine/prune/prune-snapshots.ts";
import { LanceCatalog } from "../../../src/sources/lancedb/lance-catalog.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { silent } from "../../crash/silent.ts";
import { newDirectory } from "../../support/database.ts";
import { namesBelow, readAll } from "../../support/pieces.ts";
import { TestClock } from "../../support/test-clock.ts";
import { digestOf } from "../fixture.ts";

export const HOUR = 60 * 60 * 1000;

/** A repository without a database, and a clock that a test sets. */
export class Place {
  readonly storage: LocalStorage;
  readonly clock = new TestClock(Date.now());
  readonly catalog: LanceCatalog;

  constructor(directory: string) {
    this.storage = new LocalStorage(directory);
    this.catalog = new LanceCatalog({ storage: this.storage, logger: silent }, this.clock);
  }

  prune(options: PruneOptions = {}, storage: Storage = this.storage) {
    return prune({ storage, logger: silent }, { clock: this.clock, lockTimeoutMs: 0, ...options });
  }

  /** Digests of all blobs, sorted. */
  async blobs(): Promise<string[]> {
    const names = await namesBelow(this.storage, "blobs/");
    return names.flatMap((name) => parseBlobName(name) ?? []).sort();
  }

  /** Every snapshot there is has all of its blobs, whole. Answers with what they name, sorted. */
  async assertWhole(): Promise<string[]> {
    const named = new Set<string>();
    for (const id of await this.catalog.ids()) {
      for (const files of (await this.catalog.content(id)).files.values()) {
        for (const { sha256 } of files) {
          if (named.has(sha256)) continue;
          expect(digestOf(await readAll(this.storage, blobName(sha256)))).toBe(sha256);
          named.add(sha256);
        }
      }
    }
    return [...named].sort();
  }
}

export async function newPlace(): Promise<Place> {
  return new Place(await newDirectory());
}

/** In memory where that can be had: for tests that make many, and are about steps rather than the disk. */
export async function newQuickPlace(): Promise<Place> {
  if (!existsSync("/dev/shm")) return newPlace();
  const directory = mkdtempSync("/dev/shm/lancedb-backup-test-");
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return new Place(directory);
}

/** One table with these files. */
export const tableOf = (...contents: readonly string[]) => ({
  "t.lance": Object.fromEntries(contents.map((content, index) => [`data/${index}.lance`, content])),
});
