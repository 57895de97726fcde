import type { Storage } from "../storage/storage.ts";

/** The whole of an object that fits into memory. */
export async function readSmall(storage: Storage, name: string, signal?: AbortSignal): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of storage.read(name, { signal })) pieces.push(piece);
  return Buffer.concat(pieces);
}
