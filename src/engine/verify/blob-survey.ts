import { BackupError } from "../../errors.ts";
import { toIoError } from "../../fs/io.ts";
import { runTasks } from "../../fs/workers/pool.ts";
import type { LocalFiles } from "../../storage/local-files.ts";
import { forEachParallel } from "../../util/parallel.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { blobName } from "../format/names.ts";
import type { OnProgress } from "../progress.ts";

/** What was found under a blob's name. */
export interface BlobState {
  /** Bytes; undefined where there is no such object. */
  readonly size: number | undefined;
  /** Of its content; undefined where it was not read. */
  readonly sha256?: string;
  /** Why it could not be looked at or read, where it is not that it is missing. */
  readonly error?: BackupError;
}

export interface SurveyRequest {
  readonly store: BlobStore;
  /** The blobs to look at. */
  readonly blobs: ReadonlySet<string>;
  /** Which part of them to read, from 0 to 1. */
  readonly fraction: number;
  /** From 0 to below 1: chooses the part. */
  readonly random: () => number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

const PARALLEL_LOOKS = 32;
const PARALLEL_READS = 4;
/** An encoded blob is in memory twice while it is decoded. */
const PARALLEL_ENCODED = 3;

/** Looks at blobs, each once, and hashes those that it is to read. Fails for an abort alone. */
export async function surveyBlobs(request: SurveyRequest): Promise<ReadonlyMap<string, BlobState>> {
  const { store, blobs, signal } = request;
  const states = await lookAt(store, blobs, NOTHING_KNOWN, signal);
  const there = [...blobs].filter((sha256) => states.get(sha256)?.size !== undefined);
  const chosen = sample(there, request.fraction, request.random);
  const sizes = new Map(chosen.map((name) => [name, states.get(name)?.size ?? 0]));
  const totalBytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  let [files, bytes] = [0, 0];
  await readBlobs(store, chosen, sizes, signal, (sha256, state) => {
    files++;
    bytes += sizes.get(sha256) ?? 0;
    states.set(sha256, state);
    request.onProgress?.({ phase: "verify", files, bytes, totalFiles: chosen.length, totalBytes });
  });
  return states;
}

const NOTHING_KNOWN: ReadonlyMap<string, number> = new Map();

/** Whether blobs are there, and their sizes. @param known sizes of those that a listing has shown just now. */
export async function lookAt(
  store: BlobStore,
  blobs: ReadonlySet<string>,
  known: ReadonlyMap<string, number>,
  signal: AbortSignal | undefined,
): Promise<Map<string, BlobState>> {
  const states = new Map<string, BlobState>();
  await forEachParallel(blobs, PARALLEL_LOOKS, async (sha256) => {
    signal?.throwIfAborted();
    const size = known.get(sha256);
    states.set(sha256, size === undefined ? await look(store, sha256) : { size });
  });
  return states;
}

/** Hashes blobs. Fails for an abort alone. */
export async function readBlobs(
  store: BlobStore,
  names: readonly string[],
  sizes: ReadonlyMap<string, number>,
  signal: AbortSignal | undefined,
  found: (sha256: string, state: BlobState) => void,
): Promise<void> {
  const sizeOf = (name: string) => sizes.get(name) ?? 0;
  if (store.local) await hashFiles(store.local, names, { sizeOf, found, signal });
  else await hashObjects(store, names, { sizeOf, found, signal });
}

interface Hashing {
  readonly found: (sha256: string, state: BlobState) => void;
  readonly signal: AbortSignal | undefined;
}

async function hashFiles(
  local: LocalFiles,
  chosen: readonly string[],
  { sizeOf, found, signal }: Hashing & { readonly sizeOf: (sha256: string) => number },
): Promise<void> {
  const inputs = chosen.map((sha256) => ({ name: sha256, path: local.pathOf(blobName(sha256)) }));
  await runTasks("check", inputs, {
    bytesOf: ({ name }) => sizeOf(name),
    onDone: ({ name, path }, result) => {
      if (result.ok) found(name, stateOf(result));
      else {
        const error = Object.assign(new Error(result.message), { code: result.code });
        found(name, { size: sizeOf(name), error: toIoError(error, "read", path) });
      }
    },
    signal,
  });
}

async function hashObjects(
  store: BlobStore,
  chosen: readonly string[],
  { sizeOf, found, signal }: Hashing & { readonly sizeOf: (sha256: string) => number },
): Promise<void> {
  const parallel = store.codec.name === "plain" ? PARALLEL_READS : PARALLEL_ENCODED;
  await forEachParallel(chosen, parallel, async (name) => {
    signal?.throwIfAborted();
    try {
      found(name, await store.digest(name, sizeOf(name), signal));
    } catch (error) {
      signal?.throwIfAborted();
      found(name, { size: sizeOf(name), error: toIoError(error, "read", store.placeOf(name)) });
    }
  });
}

function stateOf({ bytes, sha256 }: { bytes: number; sha256: string }): BlobState {
  return { size: bytes, sha256 };
}

async function look({ storage }: BlobStore, sha256: string): Promise<BlobState> {
  try {
    return { size: (await storage.stat(blobName(sha256)))?.size };
  } catch (error) {
    if (error instanceof BackupError) return { size: undefined, error };
    throw error;
  }
}

/** A part of a list, chosen by chance; at least one where any is wanted. */
function sample(all: readonly string[], fraction: number, random: () => number): readonly string[] {
  if (fraction === 1) return all;
  const rest = [...all];
  const wanted = Math.ceil(all.length * fraction);
  for (let index = 0; index < wanted; index++) {
    const other = index + Math.floor(random() * (rest.length - index));
    [rest[index], rest[other]] = [rest[other] as string, rest[index] as string];
  }
  return rest.slice(0, wanted);
}
