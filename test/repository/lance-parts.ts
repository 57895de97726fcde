import { BlobStore } from "../../src/engine/blobs/blob-store.ts";
import { planRetention, type RetentionPlan, type Ruled } from "../../src/engine/retention/plan-retention.ts";
import type { RetentionPolicy } from "../../src/engine/retention/retention-policy.ts";
import type { StoredContent } from "../../src/engine/snapshot.ts";
import { registerSource } from "../../src/engine/source-kind.ts";
import type { VerifyContext } from "../../src/engine/verify/verify-snapshots.ts";
import { CompletenessCheck } from "../../src/sources/lancedb/completeness.ts";
import { LANCEDB_KIND, stampOf, writeAbout, writeVersions } from "../../src/sources/lancedb/lancedb-part.ts";
import type { Snapshot, SnapshotContent } from "../../src/sources/lancedb/snapshot-view.ts";
import type { Storage } from "../../src/storage/storage.ts";

// What a Repository gives the engine of LanceDB's.

registerSource(LANCEDB_KIND);

export const blobsOf = (storage: Storage) => new BlobStore(storage);

export function completenessIn(storage: Storage): VerifyContext["completeness"] {
  return (states, signal) => new CompletenessCheck(blobsOf(storage), states, signal);
}

/** A snapshot as its document has it: with one part. */
export function storedOf({ snapshot, files }: Omit<SnapshotContent, "blobs">): StoredContent {
  const { source, selection, taken, history, rows, tables, leftOut, checksum, ...rest } = snapshot;
  const entries = [...files].flatMap(([directory, list]) =>
    list.map((file) => ({
      path: `${directory}/${file.path}`,
      size: file.size,
      sha256: file.sha256,
      stamp: stampOf(file),
      ...(file.pieces && { pieces: file.pieces }),
    })),
  );
  entries.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  const summaries = tables.map(({ versions, ...table }) => table);
  const part = {
    source,
    files: snapshot.files,
    bytes: snapshot.bytes,
    about: writeAbout({ selection, taken, history, rows, tables: summaries, leftOut }),
  };
  const details = writeVersions(tables);
  return {
    snapshot: { ...rest, parts: [part], checksum },
    parts: [{ ...part, details, entries, blobs: new Map() }],
  };
}

/** What a policy keeps and removes of snapshots as users see them. */
export function planViewed<S extends Snapshot>(
  snapshots: readonly S[],
  policy: RetentionPolicy,
  now: Date,
): RetentionPlan<S> {
  const known = new Map(snapshots.map((snapshot) => [ruled(snapshot), snapshot]));
  const { keep, remove } = planRetention([...known.keys()], policy, now);
  const back = <T extends { readonly snapshot: Ruled }>({ snapshot, ...rest }: T) => ({
    ...rest,
    snapshot: known.get(snapshot) as S,
  });
  return { keep: keep.map(back), remove: remove.map(back) };
}

function ruled({ id, createdAt, tags, source, files, bytes, ...about }: Snapshot): Ruled {
  return { id, createdAt, tags, parts: [{ source, files, bytes, about: writeAbout(about) }] };
}
