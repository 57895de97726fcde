import type { Storage } from "../../storage/storage.ts";
import { encryptedSegments, PLAIN, segments } from "../blobs/blob-codec.ts";
import { BlobStore, type Encryption } from "../blobs/blob-store.ts";
import { sealedDocuments } from "../codec/document-codec.ts";
import type { Compression } from "../codec/encode-blob.ts";
import type { RepositoryMarker } from "../marker.ts";
import type { KeyRing } from "./key-ring.ts";

/**
 * The blobs and documents of a repository, as its mark says that they are written.
 *
 * @param ring its keys, where it is encrypted.
 */
export function blobStoreOf(
  storage: Storage,
  marker: Pick<RepositoryMarker, "codec" | "compression" | "encryption"> | undefined,
  ring: KeyRing | undefined,
): BlobStore {
  if (ring)
    return new BlobStore(
      storage,
      undefined,
      encryptionBy(ring, marker?.compression ?? { algorithm: "none" }),
    );
  if (marker?.encryption) throw new TypeError("The keys of an encrypted repository were not opened.");
  return new BlobStore(storage, marker?.codec === "segments" ? segments(marker.compression) : PLAIN);
}

function encryptionBy(ring: KeyRing, compression: Compression): Encryption {
  return {
    blobs: () =>
      encryptedSegments(compression, {
        current: ring.current,
        byEpoch: ring.blobKeys,
        namesOf: (epoch) => ring.keysOf(epoch)?.names,
      }),
    documents: () => {
      const { epoch, documents: key } = ring.current;
      const find = async (wanted: number) => {
        // Others may have rotated since, and taken snapshots.
        if (!ring.keysOf(wanted)) await ring.refresh();
        return ring.keysOf(wanted)?.documents;
      };
      return sealedDocuments({ current: { epoch, key }, find }, compression);
    },
    refresh: () => ring.refresh(),
    async isNeeded(epoch) {
      await ring.refresh();
      return ring.needed.includes(epoch);
    },
  };
}
