import { createHash } from "node:crypto";
import { isUnreadable } from "../../fs/io.ts";
import { forEachParallel } from "../../util/parallel.ts";
import { writeBlobs } from "../backup/write-blobs.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { blobName } from "../format/names.ts";
import { readSmall } from "../read-small.ts";
import { BLOB_BYTES, blobsOfContent, type StoredContent } from "../snapshot.ts";
import type { Entry } from "../source-contract.ts";
import type { CopyTarget } from "./copy-target.ts";
import { blobFailure, damagedSource } from "./source-failure.ts";

const PARALLEL_COPIES = 4;

export interface CopyWork {
  readonly from: BlobStore;
  readonly target: CopyTarget;
  readonly content: StoredContent;
  readonly signal?: AbortSignal | undefined;
  /** Of plain content that is in the target now. */
  readonly onStored: (bytes: number) => void;
}

/**
 * Whether both write the same objects under the same names: then blobs and documents go over as they are. In a local
 * directory with the codec `plain` each file is a blob; elsewhere not.
 */
export function isSameForm(a: BlobStore, b: BlobStore): boolean {
  if (a.codec.epoch > 0 || b.codec.epoch > 0) return false; // under keys of their own
  return a.codec.name === b.codec.name && (a.local === undefined) === (b.local === undefined);
}

/**
 * Copies the blobs of a snapshot that the target does not have, each as it is, and held to its name.
 *
 * @returns bytes that were written.
 * @throws SourceFailure where one is missing, damaged or cannot be read. @throws IoError
 */
export async function copyObjects(work: CopyWork): Promise<number> {
  const { from, target, content, signal } = work;
  const blobs = blobsOfContent(content);
  const missing = await target.missing(blobs, signal);
  const files = new Map(missing.map((name) => [name, blobs.get(name) ?? 0]));
  const stored =
    from.local && target.blobs.local ? await copyFiles(work, files) : await copyEach(work, files);
  target.saw(files.keys());
  return stored;
}

/** From disk to disk: by several threads, with the mode that a blob has. */
async function copyFiles(work: CopyWork, blobs: ReadonlyMap<string, number>): Promise<number> {
  const { from, target, content, signal, onStored } = work;
  const names = new Map<Entry, string>();
  for (const [name, size] of blobs) {
    signal?.throwIfAborted();
    const found = await from.storage.stat(blobName(name));
    if (found?.size !== size) {
      const how = found ? `has ${found.size} bytes in place of ${size}` : "is missing";
      throw damagedSource(from, name, content, how);
    }
    const open = () => from.storage.read(blobName(name), { signal });
    names.set({ path: blobName(name), size, file: from.fileOf({ sha256: name }), open }, name);
  }
  try {
    const { files, storedBytes } = await writeBlobs(target.blobs, {
      files: [...names.keys()],
      maybeThere: () => false,
      piecesOf: () => undefined,
      signal,
      onStored: (_entry, bytes) => onStored(bytes),
    });
    for (const [entry, { sha256 }] of files) {
      const name = names.get(entry) ?? "";
      if (sha256 !== name) throw damagedSource(from, name, content, NOT_ITS_CONTENT);
    }
    return storedBytes;
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    // One by one it can be told which disk failed, and which blob.
    return copyEach(work, blobs);
  }
}

const NOT_ITS_CONTENT = "is damaged: its content does not match its name";

async function copyEach(work: CopyWork, blobs: ReadonlyMap<string, number>): Promise<number> {
  let stored = 0;
  await forEachParallel(blobs, PARALLEL_COPIES, async ([name, bytes]) => {
    work.signal?.throwIfAborted();
    stored += bytes <= BLOB_BYTES ? await copySmall(work, name, bytes) : await copyLarge(work, name, bytes);
    work.onStored(bytes);
  });
  return stored;
}

async function copySmall(work: CopyWork, name: string, bytes: number): Promise<number> {
  const { from, target, content, signal } = work;
  let object: Buffer;
  try {
    object = await readSmall(from.storage, blobName(name), signal);
    const plain = await from.codec.decode(Buffer.from(object), name, from.placeOf(name));
    if (plain.length !== bytes) {
      throw damagedSource(from, name, content, `has ${plain.length} bytes in place of ${bytes}`);
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw blobFailure(error, from, name, content);
  }
  const sha256 = target.blobs.codec.name === "plain" ? name : undefined;
  await target.blobs.storage.write(blobName(name), object, { signal, sha256, lock: true });
  return object.length;
}

/** A plain one that does not fit into memory: what is wrong with it is told before it has its name. */
async function copyLarge(work: CopyWork, name: string, bytes: number): Promise<number> {
  const { from, target, content, signal } = work;
  async function* checked(): AsyncGenerator<Uint8Array> {
    const hash = createHash("sha256");
    try {
      for await (const stretch of from.storage.read(blobName(name), { signal })) {
        hash.update(stretch);
        yield stretch;
      }
    } catch (error) {
      signal?.throwIfAborted();
      throw blobFailure(error, from, name, content);
    }
    if (hash.digest("hex") !== name) throw damagedSource(from, name, content, NOT_ITS_CONTENT);
  }
  await target.blobs.storage.write(blobName(name), checked(), { signal, lock: true });
  return bytes;
}
