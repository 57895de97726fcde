import { join } from "node:path";
import type { DocumentCache, Kept } from "../engine/catalog/document-reader.ts";
import type { KeyRing } from "../engine/keys/key-ring.ts";
import { ValidationError } from "../errors.ts";
import { FileCache } from "../fs/file-cache.ts";
import { localPath } from "../fs/local-path.ts";
import { userDirectory } from "../fs/user-directory.ts";
import type { Logger } from "../logger.ts";
import type { Storage } from "../storage/storage.ts";

/** Says where documents of snapshots are kept: a directory's path, or `off`. */
const VARIABLE = "LANCEDB_BACKUP_CACHE";
const NAME = "lancedb-backup";
/** Of all repositories of a user. */
const MOST_BYTES = 256 << 20;

/** Where the documents of repositories that are not local are kept; false: nowhere; undefined: as the environment says. */
export type CacheOption = string | false | undefined;

/**
 * The directory of the cache: what the option says, or the environment, or the user's own cache directory.
 *
 * @throws ValidationError, TypeError for an option that is no path.
 */
export function cacheDirectory(
  option: CacheOption,
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
): string | undefined {
  if (option === false) return undefined;
  if (option !== undefined) {
    if (typeof option !== "string") throw new TypeError("cache must be a directory's path or false.");
    if (option === "") throw new ValidationError("cache is empty: give a directory's path, or false.");
    return localPath(option, "cache");
  }
  const told = env[VARIABLE];
  if (told === "off") return undefined;
  if (told) return localPath(told, VARIABLE);
  return userDirectory("cache", NAME, env, platform);
}

/**
 * The cache of one repository, of objects as they are in it: of an encrypted one they are sealed. Undefined where it is local, or there is to be none.
 *
 * @param ring the keys of an encrypted one.
 */
export function snapshotCache(
  { storage, logger, cache }: { storage: Storage; logger: Logger; cache: string | undefined },
  id: string | undefined,
  ring?: KeyRing,
): DocumentCache | undefined {
  if (storage.local !== undefined || cache === undefined || !id || !/^[0-9a-f-]{1,100}$/.test(id)) {
    return undefined;
  }
  const files = new FileCache(cache, MOST_BYTES, (reason) =>
    logger.debug("documents of snapshots cannot be cached, and are read from the repository", { reason }),
  );
  // A rotation of keys replaces documents: what was kept before it is not to be found then.
  const epochs = () => (ring ? `.${ring.needed.join("-")}` : "");
  const keyOf = (snapshot: string, what: Kept) => join(id, `${snapshot}${epochs()}.${what}`);
  return {
    mostBytes: files.mostOfOne,
    get: async (snapshot, what) => (ring?.isRewriting ? undefined : files.get(keyOf(snapshot, what))),
    put: async (snapshot, what, bytes) => {
      if (!ring?.isRewriting) await files.put(keyOf(snapshot, what), bytes);
    },
    async drop(snapshot) {
      for (const what of ["summary", "document"] as const) await files.drop(keyOf(snapshot, what));
    },
  };
}
