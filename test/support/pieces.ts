import type { Storage } from "../../src/storage/storage.ts";

/** The whole content of an object. */
export async function readAll(
  storage: Storage,
  name: string,
  options?: Parameters<Storage["read"]>[1],
): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of storage.read(name, options)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Names of the objects below a prefix, sorted. */
export async function namesBelow(storage: Storage, prefix = ""): Promise<string[]> {
  const names: string[] = [];
  for await (const object of storage.list(prefix)) names.push(object.name);
  return names.sort();
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
  throw new Error("This was to fail, and did not.");
}
