import type { Storage } from "../../storage/storage.ts";
import type { CapturedFile } from "../source.ts";
import { hasDirectory, storeLocally } from "./store-locally.ts";
import { storeThroughStorage } from "./store-through-storage.ts";

export interface StoreRequest {
  readonly storage: Storage;
  readonly files: readonly CapturedFile[];
  /** Hash before copying, since the content may well be there. */
  readonly maybeThere: (file: CapturedFile) => boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onStored: (file: CapturedFile) => void;
}

/** A file whose content is in the repository. */
export interface StoredFile {
  readonly sha256: string;
  /** Whether the repository did not have it. */
  readonly isNew: boolean;
}

/**
 * Reads files, and writes those of which the repository does not have the content: named, and on the disk, when
 * this returns.
 *
 * @throws IoError; with `errno` `ENOENT` where a file has vanished. @throws CorruptError where one has another size
 * than it had when it was captured.
 */
export async function writeBlobs(request: StoreRequest): Promise<ReadonlyMap<CapturedFile, StoredFile>> {
  const { storage } = request;
  return hasDirectory(storage) ? storeLocally(storage, request) : storeThroughStorage(storage, request);
}
