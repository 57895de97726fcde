import { type CommitKind, commitKindOf } from "../commit-kind.ts";
import { listManifests } from "../image.ts";
import { findManifest } from "../put-back/state.ts";

/** Commits after which a table holds the same rows, whatever files it has. */
const KEEPS_ROWS: ReadonlySet<CommitKind | undefined> = new Set<CommitKind>([
  "createIndex",
  "rewrite",
  "reserveFragments",
  "updateConfig",
]);

/** Reading every manifest of a long way costs more than it spares. */
const MOST_COMMITS = 1000;

/** A table's version, and the SHA-256 of its manifest. */
export interface VersionIdentity {
  readonly version: number;
  readonly digest: string;
}

/**
 * Whether every commit between two versions is known to have kept all rows: compactions, indices, settings.
 * False also where that cannot be told, because manifests between them were cleaned up, or the table was
 * dropped and made again.
 */
export async function onlyMovesRows(
  dataset: string,
  from: VersionIdentity,
  to: VersionIdentity,
): Promise<boolean> {
  if (to.version <= from.version || to.version - from.version > MOST_COMMITS) return false;
  const manifests = await listManifests(dataset);
  for (const end of [from, to]) {
    if (!(await findManifest(dataset, end.version, end.digest, manifests))) return false;
  }
  const between = manifests.filter(({ version }) => version > from.version && version <= to.version);
  if (between.length !== to.version - from.version) return false;
  return between.every((name) => KEEPS_ROWS.has(commitKindOf(dataset, name)));
}
