import { Catalog } from "../../src/engine/catalog/catalog.ts";
import type { VerificationResult } from "../../src/engine/verify/result.ts";
import type { VerifyOptions } from "../../src/engine/verify/verify-options.ts";
import { type VerifyContext, verify } from "../../src/engine/verify/verify-snapshots.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { blobsOf, completenessIn } from "./lance-parts.ts";
import { silent } from "./sound.ts";

export function run(
  storage: Storage,
  id?: string,
  options?: VerifyOptions,
  more: Partial<VerifyContext> = {},
) {
  const catalog = new Catalog({ storage, logger: silent });
  return verify(
    { blobs: blobsOf(storage), catalog, logger: silent, completeness: completenessIn(storage), ...more },
    id,
    options,
  );
}

/** A storage whose objects are no files that worker threads could read. */
export function remote(storage: Storage): Storage {
  return {
    location: storage.location,
    read: (name, options) => storage.read(name, options),
    write: (name, content, options) => storage.write(name, content, options),
    writeNew: (name, content, options) => storage.writeNew(name, content, options),
    list: (prefix) => storage.list(prefix),
    remove: (name) => storage.remove(name),
    stat: (name) => storage.stat(name),
  };
}

export const short = ({ snapshot, check, ok }: VerificationResult) =>
  `${snapshot} ${check} ${ok ? "ok" : "FAILED"}`;

/** The result of a check that was to fail. */
export function bad(
  results: readonly VerificationResult[],
  check: string,
  snapshot: string,
): VerificationResult {
  const found = results.find((result) => result.check === check && result.snapshot === snapshot);
  if (!found || found.ok) throw new Error(`${check} of ${snapshot} did not fail: ${results.map(short)}`);
  return found;
}
