import { UnsupportedError } from "../errors.ts";
import type { Manifest } from "./manifest.ts";

const DELETIONS = 1n;
const STABLE_ROW_IDS = 2n;
const V2_FORMAT = 4n;
const TABLE_CONFIG = 8n;
const MULTI_BASE = 16n;
const NO_TRANSACTION_FILES = 32n;
const OVERLAYS = 64n;
const COVERING_INDEXES = 128n;
const MIXED_FILE_VERSIONS = 256n;
const FRAGMENT_TREE = 512n;

/** Features that keep every byte of a version in files that the manifest names. */
const KNOWN =
  DELETIONS |
  STABLE_ROW_IDS |
  V2_FORMAT |
  TABLE_CONFIG |
  NO_TRANSACTION_FILES |
  COVERING_INDEXES |
  MIXED_FILE_VERSIONS;

const NAMES: readonly [bigint, string][] = [
  [MULTI_BASE, "several base paths (a shallow clone?)"],
  [OVERLAYS, "overlays"],
  [FRAGMENT_TREE, "a fragment tree"],
];

/** The index under which Lance keeps its write-ahead log: acknowledged rows outside every manifest. */
const LSM_INDEX = "__lance_mem_wal";

/**
 * Refuses a version that its file list does not describe in full: half a copy is worse than none.
 *
 * @throws UnsupportedError naming the table and the feature.
 */
export function assertCapturable(dataset: string, manifest: Manifest): void {
  const refuse = (feature: string): never => {
    throw new UnsupportedError(
      `The table at ${dataset} uses ${feature}, which cannot be captured in full. Leave the table out, or rewrite it without.`,
    );
  };
  const flags = manifest.message.readerFeatureFlags | manifest.message.writerFeatureFlags;
  for (const [flag, name] of NAMES) if ((flags & flag) !== 0n) refuse(name);
  if ((flags & ~KNOWN) !== 0n)
    refuse(`a feature of Lance that this version does not know (flags ${flags & ~KNOWN})`);
  if (manifest.message.basePaths.length > 0) refuse("several base paths (a shallow clone?)");
  for (const index of manifest.indices) {
    if (index.name === LSM_INDEX) refuse("the LSM write path, which keeps rows outside every manifest");
    if (index.baseId !== undefined) refuse("an index under another base path");
  }
}
