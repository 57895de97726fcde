import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { decodeSnapshot } from "../../src/engine/format/decode-snapshot.ts";
import { blobName, snapshotName } from "../../src/engine/format/names.ts";
import { contentView, type SnapshotContent } from "../../src/sources/lancedb/snapshot-view.ts";

export function readDocument(repository: string, id: string): SnapshotContent {
  const path = join(repository, snapshotName(id));
  return contentView(decodeSnapshot(readFileSync(path), id, path));
}

/** Puts a snapshot together by hand, as docs/formats.md says: what our own restore does is tested elsewhere. */
export function materialise(repository: string, id: string, target: string): void {
  for (const [directory, files] of readDocument(repository, id).files) {
    for (const { path, sha256 } of files) {
      const place = join(target, directory, path);
      mkdirSync(dirname(place), { recursive: true });
      copyFileSync(join(repository, blobName(sha256)), place);
    }
  }
}
