import { randomUUID } from "node:crypto";
import { CorruptError, IoError, isNotFound, UnsupportedError, ValidationError } from "../errors.ts";
import { Fields, shown } from "../fs/fields.ts";
import { reasonOf } from "../fs/io.ts";
import { decodeRecord, encodeRecord } from "../fs/record.ts";
import { advice } from "../hint.ts";
import { assertWritable } from "../storage/layers/read-only-storage.ts";
import type { Storage } from "../storage/storage.ts";
import type { BlobCodec } from "./blobs/blob-codec.ts";
import { assertCompression, type Compression } from "./codec/encode-blob.ts";
import { BLOBS, FORMAT, REPOSITORY, SNAPSHOTS } from "./format/names.ts";
import type { KnownEpoch } from "./keys/key-objects.ts";
import { readSmall } from "./read-small.ts";

const KIND = "lancedb-backup repository";
const CIPHER = "aes-256-gcm";

/** What `repository.json` says. */
export interface RepositoryMarker {
  /** A UUID. */
  readonly id: string;
  readonly createdAt: Date;
  /** How blobs are written. */
  readonly codec: BlobCodec["name"];
  readonly compression: Compression;
  /** The first epoch of an encrypted repository. */
  readonly encryption?: KnownEpoch | undefined;
  /** Whether somebody has said that it may be written to although the store does not exclude. */
  readonly unsafeNoExclusive: boolean;
}

export interface MarkerOptions {
  /** Default: none. */
  readonly compression?: Compression | undefined;
  /** Makes the keys of a repository of this id, which is to be encrypted, before it is marked. Default: it is not. */
  readonly makeKeys?: ((id: string) => Promise<KnownEpoch>) | undefined;
  /** Default false. */
  readonly unsafeNoExclusive?: boolean | undefined;
}

const NO_COMPRESSION: Compression = { algorithm: "none" };

/**
 * Marks a storage as a repository.
 *
 * @throws ValidationError where it is one already, or where it holds a repository's objects without its mark.
 * @throws UnsupportedError, CorruptError where it is one that cannot be opened.
 */
export async function createMarker(storage: Storage, options: MarkerOptions = {}): Promise<RepositoryMarker> {
  const { compression = NO_COMPRESSION, makeKeys, unsafeNoExclusive = false } = options;
  if (unsafeNoExclusive) storage.acceptNoExclusion?.();
  const isThere = (await storage.stat(REPOSITORY)) !== undefined;
  if (!isThere && (await hasObjects(storage))) {
    throw new ValidationError(
      `${storage.location} already holds snapshots or blobs, but no ${REPOSITORY}. Open it to see what is there, or choose another place.`,
    );
  }
  if (!isThere) {
    const id = randomUUID();
    const encryption = await makeKeys?.(id);
    const codec = compression.algorithm === "none" && !encryption ? "plain" : "segments";
    const marker = { id, createdAt: new Date(), codec, compression, encryption, unsafeNoExclusive } as const;
    if (await storage.writeNew(REPOSITORY, encodeRecord(bodyOf(marker), FORMAT), { lock: true }))
      return marker;
  }
  await readMarker(storage); // one that cannot be opened says why
  throw new ValidationError(`${storage.location} is already a repository, and can be used as it is.`);
}

function bodyOf({
  id,
  createdAt,
  codec,
  compression,
  encryption,
  unsafeNoExclusive,
}: RepositoryMarker): object {
  return {
    kind: KIND,
    id,
    createdAt: createdAt.toISOString(),
    codec,
    ...(codec === "segments" && { compression }),
    ...(encryption && { encryption: { cipher: CIPHER, check: encryption.check } }),
    ...(unsafeNoExclusive && { unsafeNoExclusive }),
  };
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
      advice`There is no repository at ${storage.location}. ${{ call: "init", repository: storage.location }} makes one.`,
    );
  }
  const fields = new Fields(decodeRecord(bytes, place, FORMAT), place, "body");
  fields.oneOf("kind", [KIND]);
  return {
    id: fields.text("id"),
    createdAt: fields.date("createdAt"),
    ...codecFrom(fields, place),
    unsafeNoExclusive: fields.optionalFlag("unsafeNoExclusive"),
  };
}

/** @throws UnsupportedError for a codec or a cipher that a newer version may have. */
function codecFrom(
  fields: Fields,
  place: string,
): Pick<RepositoryMarker, "codec" | "compression" | "encryption"> {
  const codec = fields.text("codec");
  if (codec === "plain") return { codec, compression: NO_COMPRESSION };
  if (codec !== "segments") throw unknown(place, `blobs are written as ${shown(codec)}`);
  const how = fields.object("compression");
  const algorithm = how.oneOf("algorithm", ["none", "zstd", "gzip"]);
  const level = how.optionalCount("level");
  const compression = { algorithm, ...(level !== undefined && { level }) };
  try {
    assertCompression(compression);
  } catch (error) {
    throw new CorruptError(`${place} is damaged: ${reasonOf(error)}`, { path: place, cause: error });
  }
  const encryption = fields.optionalObject("encryption");
  if (!encryption) return { codec, compression };
  const cipher = encryption.text("cipher");
  if (cipher !== CIPHER) throw unknown(place, `it is encrypted by ${shown(cipher)}`);
  return { codec, compression, encryption: { epoch: 1, check: encryption.digest("check") } };
}

function unknown(place: string, what: string): UnsupportedError {
  return new UnsupportedError(
    `${place} says that ${what}, which this version does not know. Use a newer lancedb-backup.`,
  );
}

/**
 * Holds that what lies at its place is the repository that was opened: where a disk was unmounted, an empty directory
 * has the name. A mark that has gone or was damaged since is for others to tell, unless it is to be written to.
 *
 * @throws IoError where there is no repository, or another one. @throws CorruptError, UnsupportedError for one that is to be written to,
 * and whose mark is missing, damaged or of another format.
 */
export async function assertStill(
  storage: Storage,
  opened: Pick<RepositoryMarker, "id"> | undefined,
  { writes = false } = {},
): Promise<void> {
  let now: RepositoryMarker | undefined;
  let cause: unknown;
  try {
    now = await readMarker(storage);
    if (writes) assertMarked(storage, now);
    if (now === undefined || opened === undefined || now.id === opened.id) return;
  } catch (error) {
    const isOfMark = error instanceof CorruptError || error instanceof UnsupportedError;
    if (isOfMark && !writes) return;
    if (!(error instanceof ValidationError)) throw error;
    cause = error;
  }
  const which = opened ? ` with the id ${opened.id}` : "";
  throw new IoError(
    `${storage.location} is no longer the repository that was opened there${which}. Is its disk mounted?`,
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
