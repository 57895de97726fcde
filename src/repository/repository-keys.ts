import { assertFlag, assertKnown, assertMilliseconds, assertSignal } from "../checks.ts";
import type { BlobStore } from "../engine/blobs/blob-store.ts";
import type { KeyRing } from "../engine/keys/key-ring.ts";
import type { KeySlot } from "../engine/keys/manage-keys.ts";
import { assertKeys, type RepositoryKey } from "../engine/keys/repository-key.ts";
import type { RewritePlace } from "../engine/keys/rewrite-epoch.ts";
import type { RotationReport } from "../engine/keys/rotate-keys.ts";
import { ValidationError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { Storage } from "../storage/storage.ts";
import type { AuditTrail } from "./audit-trail.ts";

export interface RotateOptions {
  /**
   * Also read existing data and encrypt it again with the new master key, and drop the old ones. Default false: existing data stays
   * as it is.
   */
  readonly rewrite?: boolean | undefined;
  /** Say what would be done, and change nothing. Default false. */
  readonly dryRun?: boolean | undefined;
  /** How long to wait for backups and prunes to end, in milliseconds. Default 60,000. */
  readonly lockTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Runs an operation while the repository is in its place. */
type InPlace = <T>(task: () => Promise<T>, options?: { readonly writes?: boolean }) => Promise<T>;

export interface RepositoryKeysPlace {
  readonly storage: Storage;
  readonly logger: Logger;
  readonly blobs: BlobStore;
  /** Undefined where it is not encrypted. */
  readonly ring: KeyRing | undefined;
  readonly trail: AuditTrail;
  readonly inPlace: InPlace;
}

const DEFAULT_TIMEOUT_MS = 60_000;

/**
 * The keys that open a repository. Each has a slot, which holds the master key that encrypts everything.
 *
 * @example
 * ```ts
 * for (const { id, kind } of await repository.keys.list()) console.log(id, kind);
 * ```
 */
export class RepositoryKeys {
  readonly #of: RepositoryKeysPlace;

  constructor(of: RepositoryKeysPlace) {
    this.#of = of;
  }

  /**
   * The key slots. None if the repository is not encrypted. @throws IoError
   *
   * @example
   * ```ts
   * const slots = await repository.keys.list();
   * ```
   */
  async list(): Promise<KeySlot[]> {
    const { ring, inPlace } = this.#of;
    if (!ring) return [];
    const { listKeys } = await import("../engine/keys/manage-keys.ts");
    return inPlace(() => listKeys(this.#place()));
  }

  /**
   * Adds a key that can open the repository. Nothing is re-encrypted.
   *
   * @throws ValidationError where the repository is not encrypted, or the key can only open (`ageIdentity`). @throws IoError
   * @example
   * ```ts
   * const printed = recoveryKey();
   * await repository.keys.add(printed);
   * console.log(printed.print());
   * ```
   */
  async add(key: RepositoryKey): Promise<KeySlot> {
    assertKeys([key], "key");
    const place = this.#place();
    const { addKey } = await import("../engine/keys/manage-keys.ts");
    const told = ({ id, kind }: KeySlot) => ({ slot: id, kind });
    return this.#of.trail.during({ operation: "key-add", details: {}, told }, undefined, () =>
      this.#of.inPlace(() => addKey(place, key), { writes: true }),
    );
  }

  /**
   * Removes a key slot. Somebody who opened the repository with that key may have kept the master key: `rotate` locks them out of
   * new data, and with `rewrite` of all data.
   *
   * @param id as in `list`.
   * @throws ValidationError for the last one, and where there is no such slot.
   * @example
   * ```ts
   * const [first] = await repository.keys.list();
   * if (first) await repository.keys.remove(first.id);
   * ```
   */
  async remove(id: string): Promise<void> {
    if (typeof id !== "string") throw new TypeError("A key slot is named by a string.");
    const place = this.#place();
    const { removeKey } = await import("../engine/keys/manage-keys.ts");
    return this.#of.trail.during({ operation: "key-remove", details: { slot: id } }, undefined, () =>
      this.#of.inPlace(() => removeKey(place, id), { writes: true }),
    );
  }

  /**
   * Makes a new master key, which encrypts everything from now on, and a slot of it for each key. The repository must have been
   * opened with the keys of all slots, except those of age and AWS KMS. Others may work in the repository meanwhile. If it is
   * interrupted, everything stays readable, and the next call continues.
   *
   * @throws ValidationError naming a slot whose key is not at hand. @throws LockedError where somebody else rotates at this moment, or
   * with `rewrite` backups do not end in time. @throws CorruptError with `rewrite`, where a snapshot is damaged: all else was encrypted
   * anew, and the keys before stay.
   * @example
   * ```ts
   * const { epoch } = await repository.keys.rotate({ rewrite: true });
   * ```
   */
  async rotate(options: RotateOptions = {}): Promise<RotationReport> {
    assertKnown(options, "rotate", { rewrite: true, dryRun: true, lockTimeoutMs: true, signal: true });
    const { rewrite = false, dryRun = false, lockTimeoutMs, signal } = options;
    assertFlag(rewrite, "rewrite");
    assertFlag(dryRun, "dryRun");
    assertMilliseconds(lockTimeoutMs, "lockTimeoutMs");
    assertSignal(signal);
    const place = this.#place();
    const request = { rewrite, dryRun, timeoutMs: lockTimeoutMs ?? DEFAULT_TIMEOUT_MS, signal };
    const { rotateKeys } = await import("../engine/keys/rotate-keys.ts");
    const told = ({ epoch }: RotationReport) => ({ epoch });
    return this.#of.trail.during({ operation: "key-rotate", details: { rewrite }, told }, options, () =>
      this.#of.inPlace(() => rotateKeys(place, request), { writes: !dryRun }),
    );
  }

  #place(): RewritePlace {
    const { storage, logger, blobs, ring } = this.#of;
    if (ring) return { storage, logger, blobs, ring };
    throw new ValidationError(
      `${storage.location} is not encrypted. Make an encrypted repository, and copy the snapshots into it.`,
    );
  }
}
