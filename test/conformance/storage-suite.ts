import { describe, test } from "vitest";
import { testStorage } from "../../src/storage/conformance/index.ts";
import type { Storage } from "../../src/storage/storage.ts";

/**
 * Holds a backend to every promise of `src/storage/storage.ts`.
 *
 * @param makeStorage a new, empty one for each test; what it needs it cleans up by `onTestFinished`.
 */
export function describeStorage(name: string, makeStorage: () => Promise<Storage>): void {
  describe(name, () => testStorage(makeStorage, test));
}
