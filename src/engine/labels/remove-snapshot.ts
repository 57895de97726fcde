import { isNotFound, LockedError } from "../../errors.ts";
import { advice } from "../../hint.ts";
import type { Storage } from "../../storage/storage.ts";
import type { DocumentCodec } from "../codec/document-codec.ts";
import { Documents } from "../documents.ts";
import { SNAPSHOT_DOCUMENTS } from "../format/snapshot-document.ts";
import type { Pin } from "../snapshot.ts";
import { LabelStore, labelsOf } from "./label-store.ts";

interface Place {
  readonly storage: Storage;
  readonly documents?: DocumentCodec | undefined;
}

/**
 * Removes the document of a snapshot that is not pinned, and what was said of it. Somebody may pin it at the same moment: then it is
 * there again, and answers with the pin. (Its blobs are there: who removes those lists the documents anew, and holds an exclusive lease.)
 *
 * @param id an exact id; one that is not there is success.
 * @throws IoError; where it cannot be seen whether somebody has pinned it, it is there again
 */
export async function removeUnlessPinned(
  place: Place,
  id: string,
  signal?: AbortSignal,
): Promise<Pin | undefined> {
  const { storage } = place;
  const labels = new LabelStore(place);
  const pinOf = async () => labelsOf(await labels.of(id), { tags: [] })?.pinned;
  const before = await pinOf();
  if (before) return before;
  const documents = new Documents(SNAPSHOT_DOCUMENTS, storage);
  let document: Buffer;
  try {
    document = await documents.object(id, signal);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    await labels.forget(id);
    return undefined;
  }
  await documents.remove(id);
  const writeAgain = () => documents.writeNew(id, document, { lock: true }); // as it was, sealed or not
  let after: Pin | undefined;
  try {
    after = await pinOf();
  } catch (error) {
    await writeAgain(); // it may be pinned
    throw error;
  }
  if (after) {
    await writeAgain();
    return after;
  }
  await labels.forget(id);
  return undefined;
}

/** @throws LockedError */
export function refusePinned(id: string, { reason, since }: Pin, repository: string): never {
  const why = reason === undefined ? "" : `: ${reason}`;
  throw new LockedError(
    advice`Snapshot ${id} is pinned since ${since.toISOString()}${why}. Unpin it first: ${{ call: "unpin", id, repository }}.`,
  );
}

/** Removes what was said of snapshots that are gone. Who writes labels does it behind the document, so that these are none's. */
export async function forgetGone(
  place: Place,
  idsNow: () => Promise<readonly string[]>,
  signal?: AbortSignal,
): Promise<void> {
  const labels = new LabelStore(place);
  const labelled = await labels.ids(signal);
  if (labelled.length === 0) return;
  const there = new Set(await idsNow());
  for (const id of labelled) if (!there.has(id)) await labels.forget(id);
}
