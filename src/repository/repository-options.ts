import { assertKnown, assertLogger } from "../checks.ts";
import { assertCompression, type Compression } from "../engine/codec/encode-blob.ts";
import { assertKeys, type RepositoryKey } from "../engine/keys/repository-key.ts";
import { ValidationError } from "../errors.ts";
import { reasonOf } from "../fs/io.ts";
import { LanceDB, type LanceDBOptions } from "../lance/which-lancedb.ts";
import { defaultLogger, type Logger } from "../logger.ts";
import {
  assertStorageOptions,
  layered,
  STORAGE_OPTIONS,
  type StorageOptions,
} from "../storage/layers/layered.ts";
import type { Retry } from "../storage/layers/retry-policy.ts";
import { openStorage } from "../storage/open-storage.ts";
import type { Storage } from "../storage/storage.ts";
import { AUDIT_MODES, type AuditMode } from "./audit-trail.ts";
import { type CacheOption, cacheDirectory } from "./snapshot-cache.ts";

export interface RepositoryOptions extends LanceDBOptions, StorageOptions {
  /** Default: winston on stderr, level `warn` or what `LANCEDB_BACKUP_LOG` says. */
  logger?: Logger | undefined;
  /**
   * Where the documents of snapshots are kept near, of a repository that is not in a local directory: they never change,
   * and a listing need not fetch them again. A directory of the user's own, which may be deleted at any time; false:
   * nowhere. Default: what `LANCEDB_BACKUP_CACHE` says (`off`, or a path), or `lancedb-backup` in the user's cache directory.
   */
  cache?: CacheOption;
  /**
   * What of the work is recorded in the repository's audit log (docs/audit.md). `all`: every operation. `off`: none. Default `auto`: in a local
   * directory every one; elsewhere, where an entry costs requests, all but backups that have succeeded, of which their snapshots tell.
   * `LANCEDB_BACKUP_AUDIT` says another default.
   */
  audit?: AuditMode | undefined;
  /**
   * By which name the audit log is to know who does it, besides the system's user and host: a person, a job, the name of a token (never
   * the token). 1 to 200 printable characters. Default: what `LANCEDB_BACKUP_ACTOR` says.
   */
  actor?: string | undefined;
}

/** Keys, or a function that is asked for them where the repository is encrypted, and only there. */
export type KeysOption = readonly RepositoryKey[] | (() => Promise<readonly RepositoryKey[]>);

export interface OpenRepositoryOptions extends RepositoryOptions {
  /**
   * What opens an encrypted repository: one that has a slot is enough. For one that is not encrypted they are refused: somebody may
   * have put it in its place, to read what is written. (A function is not called then, and nothing is refused.) Default: none.
   */
  keys?: KeysOption | undefined;
}

export interface InitOptions extends RepositoryOptions {
  /**
   * How blobs are compressed, each by itself: what does not get smaller stays as it is. Default: in a local directory without
   * encryption `none`, so that blobs are plain files, which `sha256sum` checks and a restore can link; elsewhere zstd, level 3.
   */
  compression?: Compression | undefined;
  /** What is to open the repository, one key or more. Default: it is not encrypted. */
  encryption?: EncryptionOptions | undefined;
  /**
   * Write to a store that does not keep one writer from making what another has made, which is refused otherwise: then only one
   * process may back up or prune at a time, and nothing holds it to that. The repository's mark says so. Default false.
   */
  unsafeNoExclusive?: boolean | undefined;
}

export interface EncryptionOptions {
  /** Each opens it alone; others can be added and removed later. */
  readonly keys: readonly RepositoryKey[];
}

const METHODS = ["read", "write", "writeNew", "list", "remove", "stat"] as const;

/** A repository's place: where it is, what it logs to, and the LanceDB by which snapshots are opened and put back. */
export interface Place {
  readonly storage: Storage;
  readonly logger: Logger;
  readonly lancedb: LanceDB;
  /** The directory of the cache; undefined where there is to be none. */
  readonly cache: string | undefined;
  readonly audit: AuditMode;
  readonly actor: string | undefined;
}

/** Checks the options and fills in the defaults. @throws TypeError, ValidationError, UnsupportedError */
export async function placeOf(location: string | Storage, options: RepositoryOptions): Promise<Place> {
  assertKnown(options, "Repository", {
    ...{ logger: true, lancedb: true, connection: true, cache: true, audit: true, actor: true },
    ...STORAGE_OPTIONS,
  });
  const cache = cacheDirectory(options.cache);
  const { logger = defaultLogger() } = options;
  assertLogger(logger);
  const lancedb = new LanceDB(options);
  const { audit = auditByDefault(), actor = process.env["LANCEDB_BACKUP_ACTOR"] || undefined } = options;
  assertAuditOptions(audit, actor);
  const { retry, readOnly, onRequest, limitUpload, limitDownload, limitRequests } = options;
  const use = { retry, readOnly, onRequest, limitUpload, limitDownload, limitRequests };
  assertStorageOptions(use, "Repository");
  const tell = ({ error, failures, pauseMs }: Retry) =>
    logger.info("a call to the store failed and is repeated", {
      error: reasonOf(error),
      failures,
      pauseMs,
    });
  if (typeof location === "string")
    return { storage: await openStorage(location, use, tell), logger, lancedb, cache, audit, actor };
  if (
    typeof location !== "object" ||
    location === null ||
    METHODS.some((name) => typeof location[name] !== "function")
  ) {
    throw new TypeError("A repository's location must be a directory's path, an address, or a Storage.");
  }
  return { storage: layered(location, use, tell), logger, lancedb, cache, audit, actor };
}

/** @throws ValidationError, TypeError */
export function assertEncryptionOption(encryption: EncryptionOptions | undefined): void {
  if (encryption === undefined) return;
  assertKnown(encryption, "encryption", { keys: true });
  assertKeys(encryption.keys, "encryption.keys");
}

/** @throws ValidationError, TypeError */
export function assertCompressionOption(compression: Compression | undefined): void {
  if (compression === undefined) return;
  assertKnown(compression, "compression", { algorithm: true, level: true });
  if (typeof compression.algorithm !== "string") throw new TypeError("compression must name an algorithm.");
  assertCompression(compression);
}

function assertAuditOptions(audit: unknown, actor: unknown): void {
  if (typeof audit !== "string") throw new TypeError("audit must be a string.");
  if (!isAuditMode(audit)) throw new ValidationError(whyNoAuditMode("audit", audit));
  if (actor === undefined) return;
  if (typeof actor !== "string") throw new TypeError("actor must be a string.");
  if (!/^[^\p{C}\p{Zl}\p{Zp}]{1,200}$/u.test(actor))
    throw new ValidationError("actor must be a name of 1 to 200 printable characters.");
}

/** What the environment says. @throws ValidationError */
function auditByDefault(): AuditMode {
  const told = process.env[AUDIT_VARIABLE] || "auto";
  if (!isAuditMode(told)) throw new ValidationError(whyNoAuditMode(AUDIT_VARIABLE, told));
  return told;
}

const AUDIT_VARIABLE = "LANCEDB_BACKUP_AUDIT";

const isAuditMode = (value: string): value is AuditMode => AUDIT_MODES.some((mode) => mode === value);

const whyNoAuditMode = (name: string, value: string) =>
  `${name} must be ${AUDIT_MODES.join(" or ")}, not ${JSON.stringify(value)}.`;
