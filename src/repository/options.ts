import { assertKnown, assertLogger } from "../checks.ts";
import { localPath } from "../fs/local-path.ts";
import type { Logger } from "../logger.ts";
import { defaultLogger } from "../logger.ts";
import { LocalStorage } from "../storage/local-storage.ts";
import type { Storage } from "../storage/storage.ts";

export interface RepositoryOptions {
  /** Default: winston on stderr, level `warn` or what `LANCEDB_BACKUP_LOG` says. */
  logger?: Logger | undefined;
}

const METHODS = ["read", "write", "writeNew", "list", "remove", "stat"] as const;

/** Where a repository is and what it logs to. @throws TypeError, ValidationError, UnsupportedError */
export function placeOf(
  location: string | Storage,
  options: RepositoryOptions,
): { storage: Storage; logger: Logger } {
  assertKnown(options, "Repository", { logger: true });
  const { logger = defaultLogger() } = options;
  assertLogger(logger);
  if (typeof location === "string")
    return { storage: new LocalStorage(localPath(location, "location")), logger };
  if (
    typeof location !== "object" ||
    location === null ||
    METHODS.some((name) => typeof location[name] !== "function")
  ) {
    throw new TypeError("A repository's location must be a directory's path or a Storage.");
  }
  return { storage: location, logger };
}
