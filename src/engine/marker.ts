import { randomUUID } from "node:crypto";
import { CorruptError, IoError, isNotFound, UnsupportedError, ValidationError } from "../errors.ts";
import { reasonOf } from "../fs/io.ts";
import { decodeRecord, encodeRecord } from "../fs/record.ts";
import { assertWritable } from "../storage/layers/read-only-storage.ts";
import type { Storage } from "../storage/storage.ts";
import { type BlobCodec, PLAIN, segments } from "./blobs/blob-codec.ts";
import { assertCompression, type Compression } from "./codec/encode-blob.ts";
import { Fields } from "./format/fields.ts";
import { BLOBS, FORMAT, REPOSITORY, SNAPSHOTS } from "./format/names.ts";
import { shown } from "./format/shown.ts";
import { readSmall } from "./read-small.ts";

const KIND = "lancedb-backup repository";

/** What `repository.json` says. */
export interface RepositoryMarker {
  /** A UUID. */
  readonly id: string;
  readonly createdAt: Date;
  /** How blobs are written. */
  readonly codec: BlobCodec;
  /** Whether somebody has said that it may be written to although the store does not exclude. */
  readonly unsafeNoExclusive: boolean;
}

export interface MarkerOptions {
  /** Default: none. */
  readonly compression?: Compression | undefined;
  /** Default false. */
  readonly unsafeNoExclusive?: boolean | undefined;
}

/**
 * Marks a storage as a repository.
 *
 * @throws ValidationError where it is one already, or where it holds a repository's objects without its mark.
 * @throws UnsupportedError, CorruptError where it is one that cannot be opened.
 */
export async function createMarker(storage: Storage, options: MarkerOptions = {}): Promise<RepositoryMarker> {
  const { compression = { algorithm: "none" }, unsafeNoExclusive = false } = options;
  if (unsafeNoExclusive) storage.acceptNoExclusion?.();
  if (!(await storage.stat(REPOSITORY)) && (await hasObjects(storage))) {
    throw new ValidationError(
      `${storage.location} holds snapshots or blobs already, and no ${REPOSITORY}. Open it to see what is there, or choose another place.`,
    );
  }
  const isPlain = compression.algorithm === "none";
  const codec = isPlain ? PLAIN : segments(compression);
  const marker = { id: randomUUID(), createdAt: new Date(), codec, unsafeNoExclusive };
  const { id, createdAt } = marker;
  const how = {
    codec: codec.name,
    ...(!isPlain && { compression }),
    ...(unsafeNoExclusive && { unsafeNoExclusive }),
  };
  const body = { kind: KIND, id, createdAt: createdAt.toISOString(), ...how };
  if (await storage.writeNew(REPOSITORY, encodeRecord(body, FORMAT))) return marker;
  await readMarker(storage); // one that cannot be opened says why
  throw new ValidationError(`${storage.location} is a repository already. Open it.`);
}

/**
 * Reads the mark; undefined where it is missing, though a repository's objects are there: then it can be read from,
 * and not be written to.
 *
 * @throws ValidationError where there is no repository. @throws CorruptError, UnsupportedError where the mark is damaged
 * or of another format.
 */
export async function readMarker(storage: Storage): Promise<RepositoryMarker | undefined> {
  const place = `${storage.location}/${REPOSITORY}`;
  let bytes: Buffer;
  try {
    bytes = await readSmall(storage, REPOSITORY);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    if (await hasObjects(storage)) return undefined;
    throw new ValidationError(
      `There is no repository at ${storage.location}. Make one with Repository.init().`,
    );
  }
  const fields = new Fields(decodeRecord(bytes, place, FORMAT), place, "body");
  fields.oneOf("kind", [KIND]);
  return {
    id: fields.text("id"),
    createdAt: fields.date("createdAt"),
    codec: codecFrom(fields, place),
    unsafeNoExclusive: fields.optionalFlag("unsafeNoExclusive"),
  };
}

/** @throws UnsupportedError for a codec that a newer version may have. */
function codecFrom(fields: Fields, place: string): BlobCodec {
  const name = fields.text("codec");
  if (name === PLAIN.name) return PLAIN;
  if (name !== "segments") {
    throw new UnsupportedError(
      `${place} says that blobs are written as ${shown(name)}, which this version does not know. Use a newer lancedb-backup.`,
    );
  }
  const how = fields.object("compression");
  const algorithm = how.oneOf("algorithm", ["none", "zstd", "gzip"]);
  const level = how.optionalCount("level");
  const compression = { algorithm, ...(level !== undefined && { level }) };
  try {
    assertCompression(compression);
  } catch (error) {
    throw new CorruptError(`${place} is damaged: ${reasonOf(error)}`, { path: place, cause: error });
  }
  return segments(compression);
}

/**
 * Holds that what lies at its place is the repository that was opened: where a disk was unmounted, an empty directory
 * has the name. A mark that has gone or was damaged since is for others to tell.
 *
 * @throws IoError where there is no repository, or another one.
 */
export async function assertStill(storage: Storage, opened: RepositoryMarker | undefined): Promise<void> {
  let now: RepositoryMarker | undefined;
  let cause: unknown;
  try {
    now = await readMarker(storage);
    if (now === undefined || opened === undefined || now.id === opened.id) return;
  } catch (error) {
    if (error instanceof CorruptError || error instanceof UnsupportedError) return;
    if (!(error instanceof ValidationError)) throw error;
    cause = error;
  }
  const which = opened ? ` with the id ${opened.id}` : "";
  throw new IoError(
    `${storage.location} is not the repository any more that was opened there${which}. Is its disk mounted?`,
    { path: storage.location, cause },
  );
}

/** @throws CorruptError for a repository without its mark, which is not to be written to. @throws IoError for one that was opened for reading. */
export function assertMarked(storage: Storage, marker: RepositoryMarker | undefined): void {
  assertWritable(storage);
  if (marker) return;
  throw new CorruptError(
    `${storage.location} has no ${REPOSITORY}: it can be read from, and is not written to. Bring that file back from a copy, or restore its snapshots into a new repository.`,
    { path: `${storage.location}/${REPOSITORY}` },
  );
}

async function hasObjects(storage: Storage): Promise<boolean> {
  for (const prefix of [SNAPSHOTS, BLOBS]) for await (const _ of storage.list(prefix)) return true;
  return false;
}
