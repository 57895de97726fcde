import type { DocumentKind } from "../documents.ts";
import { MOST_DOCUMENT_BYTES } from "../read-small.ts";
import type { StoredContent } from "../snapshot.ts";
import { readSnapshot } from "./decode-snapshot.ts";
import { parseSnapshotName, SNAPSHOTS, snapshotName } from "./names.ts";

/** Documents of snapshots by their ids. They are written as `encodeSnapshot` makes them; long ones are also read in pieces. */
export const SNAPSHOT_DOCUMENTS: DocumentKind<string, StoredContent, Buffer> = {
  prefix: SNAPSHOTS,
  nameOf: snapshotName,
  keyOf: parseSnapshotName,
  sealedAs: (id) => id,
  encode: (document) => document,
  decode: (bytes, id, place) => readSnapshot([bytes], { id, place }),
  mostBytes: MOST_DOCUMENT_BYTES,
};
