import { forEachParallel } from "../util/parallel.ts";
import type { StoredObject } from "./object-name.ts";
import type { CallOptions, Storage } from "./storage.ts";

const PARALLEL_LOOKS = 32;
/** So few are looked at one by one. */
const FEW = 3;
/** Objects on a page of a listing. */
const PAGE_OBJECTS = 1000;
/** As many objects are listed in the time and for the price of one look. */
const LISTED_FOR_A_LOOK = 500;

/** Those of the objects that are there, by their names: as the storage finds them, or in the way that costs least. */
export function objectsThere(
  storage: Storage,
  names: readonly string[],
  options: CallOptions = {},
): Promise<ReadonlyMap<string, StoredObject>> {
  return storage.has ? storage.has(names, options) : lookFor(storage, names, options);
}

/** Finds objects by looks and listings. What a listing does not show is looked at: it may have come meanwhile. */
export async function lookFor(
  storage: Storage,
  names: readonly string[],
  { signal }: CallOptions = {},
): Promise<ReadonlyMap<string, StoredObject>> {
  const there = names.length > FEW ? await findListed(storage, names, signal) : new Map();
  const rest = names.filter((name) => !there.has(name));
  await lookAtEach(rest, there, (name) => storage.stat(name, { signal }), signal);
  return there;
}

/** Looks at one after the other, some at a time, and adds those that are there. */
async function lookAtEach(
  names: readonly string[],
  there: Map<string, StoredObject>,
  stat: (name: string) => Promise<StoredObject | undefined>,
  signal: AbortSignal | undefined,
): Promise<void> {
  await forEachParallel(names, PARALLEL_LOOKS, async (name) => {
    signal?.throwIfAborted();
    const found = await stat(name);
    if (found) there.set(name, found);
  });
}

/**
 * Those that a listing shows. A page of it tells of a thousand objects, a look at one of one; it is given up where there are
 * so many others that looks cost less.
 */
async function findListed(
  storage: Storage,
  names: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Map<string, StoredObject>> {
  const wanted = new Set(names);
  const there = new Map<string, StoredObject>();
  const most = Math.max(PAGE_OBJECTS, wanted.size * LISTED_FOR_A_LOOK);
  let listed = 0;
  for await (const object of storage.list(commonPrefix(names), { signal })) {
    signal?.throwIfAborted();
    if (wanted.has(object.name)) there.set(object.name, object);
    if (there.size === wanted.size || ++listed === most) break;
  }
  return there;
}

/** The folder that they have in common. */
function commonPrefix(names: readonly string[]): string {
  let prefix = names[0] ?? "";
  for (const name of names) while (!name.startsWith(prefix)) prefix = prefix.slice(0, -1);
  return prefix.slice(0, prefix.lastIndexOf("/") + 1);
}
