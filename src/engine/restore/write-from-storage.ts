import { createHash } from "node:crypto";
import { NewFile, syncTogether, writeSmallFile } from "../../fs/durable.ts";
import { forEachParallel } from "../../util/parallel.ts";
import { giveMemory } from "../../util/spare-memory.ts";
import { digested, digestOf } from "../blobs/blob-codec.ts";
import { damagedBlob, missingBlob, wrongSize } from "../blobs/blob-errors.ts";
import { BLOB_BYTES, type Piece } from "../snapshot.ts";
import { type FileWriter, readAhead, type TargetFile } from "./read-entries.ts";

const PARALLEL_READS = 4;
/** An encoded blob is in memory twice while it is decoded, by one thread. */
const PARALLEL_ENCODED = 3;
const MOST_CUT_AT_ONCE = 2;

/** Files up to this size are written in one go, and put on the disk together at the end. */
const SMALL_BYTES = 256 * 1024;
/** So many of them before others have their turn. */
const WRITES_IN_A_ROW = 32;

/**
 * Reads blobs through a storage, several at a time: while one is fetched, another is decoded and hashed by a thread, and a third
 * written and put on the disk. A bundle is read once for all its files.
 */
export async function writeFromStorage(writer: FileWriter, files: readonly TargetFile[]): Promise<void> {
  const isPlain = writer.blobs.codec.name === "plain";
  const { directory, parallel = isPlain ? PARALLEL_READS : PARALLEL_ENCODED, signal, onFile } = writer;
  const { cut = [], bundled = [], whole = [] } = Object.groupBy(files, howOf);
  const bundles = [...Map.groupBy(bundled, (file) => file.pieces?.[0]?.blob).values()];
  await forEachParallel(bundles, parallel, (some) => writeBundled(writer, some));
  await forEachParallel(whole, parallel, async (file) => {
    signal?.throwIfAborted();
    await writeWhole(writer, file);
    onFile(file);
  });
  // Pieces are held in memory: of few files at a time, and of each some.
  const atOnce = Math.min(parallel, MOST_CUT_AT_ONCE, Math.max(cut.length, 1));
  const ahead = Math.max(1, Math.floor(parallel / atOnce));
  await forEachParallel(cut, atOnce, async (file) => {
    signal?.throwIfAborted();
    await writeStretches(writer, file, readAhead(writer.blobs, file, ahead, signal), giveMemory);
    onFile(file);
  });
  signal?.throwIfAborted();
  const small = files.filter((file) => file.size <= SMALL_BYTES).map((file) => file.target);
  await syncTogether(directory, small);
}

function howOf({ pieces }: TargetFile): "cut" | "bundled" | "whole" {
  if (!pieces || pieces.length === 0) return "whole";
  return pieces.length > 1 ? "cut" : "bundled";
}

/** A file that has a blob for itself, or none. */
async function writeWhole(writer: FileWriter, file: TargetFile): Promise<void> {
  const { blobs, signal } = writer;
  const isEncoded = blobs.codec.name !== "plain";
  if (file.pieces || isEncoded || file.size > BLOB_BYTES) {
    await writeStretches(writer, file, blobs.read(file, signal), isEncoded ? giveMemory : undefined);
    return;
  }
  // A byte more is asked for, which tells of a blob that is too long.
  const piece = { blob: file.sha256, offset: 0, bytes: file.size + 1 };
  const content = await blobs.readPiece(piece, signal).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw missingBlob(error, blobs.storage, file);
  });
  await writeContent(writer, file, content);
}

/** Files whose content lies in one blob: the stretch of it in which they lie is read at once. */
async function writeBundled(writer: FileWriter, files: readonly TargetFile[]): Promise<void> {
  const { blobs, signal, onFile } = writer;
  const [first] = files;
  if (!first) return;
  const pieces = files.map((file) => ({ file, piece: file.pieces?.[0] as Piece }));
  const start = pieces.reduce((least, { piece }) => Math.min(least, piece.offset), Number.POSITIVE_INFINITY);
  const end = pieces.reduce((most, { piece }) => Math.max(most, piece.offset + piece.bytes), 0);
  const { blob } = (first.pieces as readonly Piece[])[0] as Piece;
  signal?.throwIfAborted();
  const stretch = await blobs
    .readPiece({ blob, offset: start, bytes: end - start }, signal)
    .catch((error) => {
      signal?.throwIfAborted();
      throw missingBlob(error, blobs.storage, first);
    });
  if (files.length === 1) {
    await writeContent(writer, first, stretch, blob);
    onFile(first);
    return;
  }
  let inARow = 0;
  for (const { file, piece } of pieces) {
    const from = piece.offset - start;
    const content = stretch.subarray(from, from + piece.bytes);
    if (writer.verify && digestOf(content) !== file.sha256)
      throw damagedBlob(blobs.storage, { ...file, sha256: blob });
    if (file.size > SMALL_BYTES) await writeStretches({ ...writer, verify: false }, file, [content]);
    else {
      if (content.length !== file.size) throw wrongSize(blobs.storage, file, content.length);
      writeSmallFile(file.target, content);
      if (++inARow % WRITES_IN_A_ROW === 0) await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
    }
    onFile(file);
  }
  giveMemory(stretch);
}

/** @param content nobody else's. @param blob that it comes from, where that is not the file's own. */
async function writeContent(
  writer: FileWriter,
  file: TargetFile,
  content: Buffer,
  blob = file.sha256,
): Promise<void> {
  const { blobs, verify } = writer;
  if (content.length !== file.size) throw wrongSize(blobs.storage, file, content.length);
  const found = verify ? await digested(content) : { content, sha256: file.sha256 };
  if (found.sha256 !== file.sha256) throw damagedBlob(blobs.storage, { ...file, sha256: blob });
  await writeStretches({ ...writer, verify: false }, file, [found.content], giveMemory);
}

/** @param onWritten called with each stretch that is needed no more. */
async function writeStretches(
  { blobs, verify }: Pick<FileWriter, "blobs" | "verify">,
  file: TargetFile,
  stretches: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  onWritten?: (stretch: Uint8Array) => void,
): Promise<void> {
  const hash = createHash("sha256");
  let bytes = 0;
  {
    await using target = await NewFile.create(file.target);
    for await (const stretch of stretches) {
      bytes += stretch.length;
      if (bytes > file.size) break;
      if (verify) hash.update(stretch);
      await target.write(stretch);
      onWritten?.(stretch);
    }
    if (file.size > SMALL_BYTES) await target.sync(); // while others are fetched
  }
  if (bytes !== file.size) throw wrongSize(blobs.storage, file, bytes);
  if (verify && hash.digest("hex") !== file.sha256) throw damagedBlob(blobs.storage, file);
}
