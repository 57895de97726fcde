import type { BlobStore } from "../engine/blobs/blob-store.ts";
import type { Catalog } from "../engine/catalog/catalog.ts";
import { readerOf } from "../engine/restore/read-entries.ts";
import { makeScratch } from "../engine/scratch.ts";
import type { PartContent, StoredContent } from "../engine/snapshot.ts";
import { loadKind } from "../engine/source-kind.ts";
import { passed, type VerificationResult } from "../engine/verify/result.ts";
import type { VerifyOptions } from "../engine/verify/verify-options.ts";
import { type VerifyContext, verify } from "../engine/verify/verify-snapshots.ts";
import type { LanceDB } from "../lance/which-lancedb.ts";
import type { Logger } from "../logger.ts";
import { CompletenessCheck } from "../sources/lancedb/completeness.ts";
import { LANCEDB_KIND } from "../sources/lancedb/lancedb-part.ts";
import { contentView } from "../sources/lancedb/snapshot-view.ts";

export interface VerifyPlace {
  readonly blobs: BlobStore;
  /** Reads documents from where they are: what is kept near says nothing of them. */
  readonly catalog: Catalog;
  readonly logger: Logger;
  readonly lancedb: LanceDB;
}

/** Verifies as `Repository.verify` says: the engine's checks, and LanceDB's for parts that are its databases. */
export function verifyRepository(
  place: VerifyPlace,
  id: string | undefined,
  options: VerifyOptions,
): Promise<VerificationResult[]> {
  const completeness: VerifyContext["completeness"] = (states, signal) =>
    new CompletenessCheck(place.blobs, states, signal);
  const restoreTest: VerifyContext["restoreTest"] = async (stored, part, settings) => {
    if (part.source.type !== LANCEDB_KIND.type) return testPart(place, stored, part, settings);
    const content = contentView(stored, ({ id: source }) => source === part.source.id);
    const { restoreTest: test } = await import("../sources/lancedb/restore-test/restore-test.ts");
    const { asVerification } = await import("../sources/lancedb/restore-test/as-verification.ts");
    return asVerification(content.snapshot.id, await test(place, content, settings));
  };
  return verify({ ...place, completeness, restoreTest }, id, options);
}

/** Of any other kind that has a test. */
async function testPart(
  { blobs, logger }: VerifyPlace,
  { snapshot: { id } }: StoredContent,
  part: PartContent,
  { signal, onProgress }: Pick<VerifyOptions, "signal" | "onProgress">,
): Promise<VerificationResult[]> {
  const { source } = part;
  const kind = await loadKind(source.type);
  if (!kind?.test) return [];
  const { directory: scratch, remove } = await makeScratch(blobs);
  try {
    const details = await kind.test({
      ...{ snapshot: id, part, scratch, logger, signal, onProgress },
      ...readerOf(blobs, part, { signal }),
    });
    return [passed(id, `restore:${source.type}`, details)];
  } finally {
    await remove();
  }
}
