import { hostname, userInfo } from "node:os";
import type { AuditAction, AuditActor, AuditOperation, AuditPoint } from "../engine/audit/audit-entry.ts";
import type { BlobStore } from "../engine/blobs/blob-store.ts";
import { BackupError, ValidationError } from "../errors.ts";
import { isError, reasonOf } from "../fs/io.ts";
import type { Logger } from "../logger.ts";
import type { Storage } from "../storage/storage.ts";

/**
 * What is recorded in a repository's audit log. `all`: every operation. `auto`: every operation in a local directory;
 * elsewhere, where an entry costs requests, all but backups that have succeeded, whose snapshots say who took them and when.
 * `off`: nothing.
 */
export const AUDIT_MODES = ["auto", "all", "off"] as const;
export type AuditMode = (typeof AUDIT_MODES)[number];

/** The repository whose log it is. */
interface TrailPlace {
  readonly storage: Storage;
  readonly logger: Logger;
  readonly blobs: BlobStore;
  readonly mode: AuditMode;
  readonly actor: string | undefined;
  /** Runs it while the repository is in its place, where it may be written to; it looks at the keys itself. */
  readonly inPlace: <T>(task: () => Promise<T>) => Promise<T>;
}

/** What is asked for, before it is done. */
export interface Audited<T> {
  readonly operation: AuditOperation;
  /** Without passwords. */
  readonly details: Readonly<Record<string, unknown>>;
  /** What came of it; undefined: nothing was done that is to be recorded. */
  readonly told?: (result: T) => Readonly<Record<string, unknown>> | undefined;
}

/** A store that does not answer must not hold up what is done already. */
const LONGEST_WRITE_MS = 30_000;

/** Writes what is done in a repository into its audit log. What cannot be written there is a warning: the work is done. */
export class AuditTrail {
  readonly #place: TrailPlace;
  readonly #actor: AuditActor;
  /** The newest entry as far as it is known here. */
  #newest: AuditPoint | undefined;
  /** One after the other: they would be in each other's way. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(place: TrailPlace) {
    this.#place = place;
    this.#actor = {
      user: userName(),
      host: hostname(),
      ...(place.actor !== undefined && { name: place.actor }),
    };
  }

  /** Runs an operation, and records how it ended before it answers. Not recorded is what was called wrongly: nothing was done then. */
  async during<T>(
    { operation, details, told }: Audited<T>,
    options: { readonly signal?: AbortSignal | undefined; readonly dryRun?: boolean | undefined } | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    const started = performance.now();
    const record = (outcome: AuditAction["outcome"], more: Readonly<Record<string, unknown>>) => {
      const durationMs = Math.round(performance.now() - started);
      const action = { operation, outcome, at: new Date(), durationMs, actor: this.#actor };
      return this.#record({ ...action, details: { ...details, ...more } });
    };
    let result: T;
    try {
      result = await work();
    } catch (error) {
      if (options?.dryRun !== true && !isWrongUse(error))
        await record(options?.signal?.aborted ? "aborted" : "failure", { error: codeOf(error) });
      throw error;
    }
    const more = options?.dryRun === true ? undefined : (told?.(result) ?? (told ? undefined : {}));
    if (more) await record("success", more);
    return result;
  }

  /** Who records, now; for entries that are made otherwise. */
  action(): Omit<AuditAction, "operation" | "details"> {
    return { outcome: "success", at: new Date(), durationMs: 0, actor: this.#actor };
  }

  async #record(action: AuditAction): Promise<void> {
    const { mode, storage, logger } = this.#place;
    const isSaid = action.operation === "backup" && action.outcome === "success" && !storage.local;
    if (mode === "off" || (mode === "auto" && isSaid)) return;
    const write = this.#last.then(() => this.#append(action));
    this.#last = write.catch(() => undefined);
    try {
      const { number, sha256 } = await write;
      logger.debug("recorded in the audit log", { operation: action.operation, number, sha256 });
    } catch (error) {
      const { operation, outcome } = action;
      const meta = { operation, outcome, reason: reasonOf(error) };
      logger.warn("what was done is not in the audit log: its entry could not be written", meta);
    }
  }

  async #append(action: AuditAction): Promise<AuditPoint> {
    const { storage, logger, blobs, inPlace } = this.#place;
    const { appendEntry } = await import("../engine/audit/audit-log.ts");
    return inPlace(async () => {
      const now = await blobs.renewed();
      const place = { storage, logger, documents: now.documents };
      this.#newest = await appendEntry(place, action, this.#newest, AbortSignal.timeout(LONGEST_WRITE_MS));
      if (!(await now.isCurrent())) {
        // The keys before were dropped meanwhile: nobody could read it.
        const { sealAnew } = await import("../engine/audit/seal-anew.ts");
        const { documents, codec } = await blobs.renewed();
        await sealAnew({ storage, logger, documents, epoch: codec.epoch }, [this.#newest.number]);
      }
      return this.#newest;
    });
  }
}

function isWrongUse(error: unknown): boolean {
  return error instanceof ValidationError || (isError(error) && error.name === "TypeError");
}

/** Of an error of ours its code, with what the system says of it; of others their name. Messages may hold anything. */
function codeOf(error: unknown): string {
  if (error instanceof BackupError) return error.code;
  return isError(error) ? error.name : "unknown";
}

/** Where the system has no name for the user, the number. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? "unknown"}`;
  }
}
