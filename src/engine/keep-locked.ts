import { LockedError } from "../errors.ts";
import type { Storage } from "../storage/storage.ts";
import { blobName, KEYS, REPOSITORY } from "./format/names.ts";

/**
 * Where a storage locks objects, has those that a new snapshot needs locked for as long as the snapshot itself: blobs that were
 * there already, the repository's mark and its keys. One request an object.
 */
export async function keepLocked(
  storage: Storage,
  blobs: Iterable<string>,
  signal?: AbortSignal,
): Promise<void> {
  if (!storage.lock) return;
  const names = [REPOSITORY];
  for await (const { name } of storage.list(KEYS)) names.push(name);
  for (const blob of blobs) names.push(blobName(blob));
  await storage.lock.extend(names, { signal });
}

/** @throws LockedError where the storage keeps an object from being taken away. */
export async function assertNotLocked(storage: Storage, name: string): Promise<void> {
  const until = await storage.lock?.until(name);
  if (until === undefined) return;
  const place = `${storage.location}/${name}`;
  throw new LockedError(`${place} is locked until ${until.toISOString()}, and cannot be deleted before.`);
}
