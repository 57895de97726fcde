/**
 * What users import as `lancedb-backup/storage-conformance`: what a `Storage` promises, as checks for whatever runs tests.
 * Nothing but `node:assert` is needed.
 */
import type { Storage } from "../storage.ts";
import { listChecks } from "./list-checks.ts";
import { nameChecks } from "./name-checks.ts";
import { readChecks } from "./read-checks.ts";
import type { StorageCheck } from "./storage-check.ts";
import { writeChecks } from "./write-checks.ts";

export type { StorageCheck } from "./storage-check.ts";

/** Every promise of a storage, one a check. A storage may be used for a repository if it keeps all of them. */
export const storageChecks: readonly StorageCheck[] = [
  ...readChecks,
  ...writeChecks,
  ...listChecks,
  ...nameChecks,
];

/** A new, empty storage. Where it has `Symbol.asyncDispose`, that is called when the check has ended. */
export type OpenEmptyStorage = () => Storage | Promise<Storage>;

/** Registers a test: `test` of node:test, Vitest, Jest, `it` of Mocha. */
export type RegisterTest = (name: string, run: () => Promise<void>) => unknown;

/**
 * Registers a test for each check. A test fails with an `AssertionError` that says what was promised, or with what the
 * storage has thrown. Some write a few dozen megabytes: over a network give them a minute each.
 *
 * @param open called by every test, and answers with a storage that nothing else writes to
 * @example
 * ```ts
 * import { test } from "node:test";
 *
 * testStorage(async () => new SftpStorage(await emptyDirectory()), test);
 * ```
 */
export function testStorage(open: OpenEmptyStorage, test: RegisterTest): void {
  for (const { name, run } of storageChecks) {
    test(name, async () => {
      const storage: Storage & Partial<AsyncDisposable> = await open();
      try {
        await run(storage);
      } finally {
        await storage[Symbol.asyncDispose]?.();
      }
    });
  }
}
