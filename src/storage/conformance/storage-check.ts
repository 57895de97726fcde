import assert from "node:assert/strict";
import type { StoredObject } from "../object-name.ts";
import type { ReadOptions, Storage } from "../storage.ts";

/** One promise of a storage. */
export interface StorageCheck {
  /** The method and what is promised of it. No two checks have the same. */
  readonly name: string;
  /** @throws AssertionError, or what the storage throws, where it does not keep the promise. @param storage an empty one */
  run(storage: Storage): Promise<void>;
}

export const check = (name: string, run: StorageCheck["run"]): StorageCheck => ({ name, run });

export const text = (value: string) => Buffer.from(value);

/** The whole content of an object. */
export async function readAll(storage: Storage, name: string, options?: ReadOptions): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of storage.read(name, options)) pieces.push(piece);
  return Buffer.concat(pieces);
}

export async function listAll(storage: Storage, prefix: string): Promise<StoredObject[]> {
  const objects: StoredObject[] = [];
  for await (const object of storage.list(prefix)) objects.push(object);
  return objects;
}

/** Names of the objects below a prefix, sorted. */
export async function namesBelow(storage: Storage, prefix = ""): Promise<string[]> {
  return (await listAll(storage, prefix)).map(({ name }) => name).sort();
}

export async function* inPieces(...pieces: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield Buffer.from(piece);
}

/** What a promise is rejected with; fails where it is not. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return assert.fail("This was to fail, and did not.");
}

/** An object has these bytes. Long ones are not shown. */
export async function assertContent(
  storage: Storage,
  name: string,
  content: string | Buffer,
  options?: ReadOptions,
): Promise<void> {
  const found = await readAll(storage, name, options);
  const wanted = Buffer.from(content);
  if (wanted.length <= 100 && found.length <= 100)
    assert.equal(found.toString(), wanted.toString(), `the content of ${name}`);
  assert.ok(
    found.equals(wanted),
    `${name} has ${found.length} bytes that are not the ${wanted.length} wanted.`,
  );
}

/** Below a prefix are these objects and no others. */
export async function assertNames(storage: Storage, prefix: string, names: readonly string[]): Promise<void> {
  assert.deepEqual(await namesBelow(storage, prefix), names, `the names listed below "${prefix}"`);
}
