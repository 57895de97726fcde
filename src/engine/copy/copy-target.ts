import { LockedError } from "../../errors.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { snapshotName } from "../format/names.ts";
import type { AcquireOptions, Lease, Leaser } from "../lease/lease.ts";
import { leaserOf } from "../lease/leaser.ts";

/** What a copy writes to, under a shared lease: a blob that was seen there is not removed while the lease is held. */
export class CopyTarget implements AsyncDisposable {
  #blobs: BlobStore;
  readonly #leaser: Leaser;
  readonly #options: AcquireOptions;
  #lease: Lease;
  readonly #there = new Set<string>();

  private constructor(blobs: BlobStore, leaser: Leaser, options: AcquireOptions, lease: Lease) {
    this.#blobs = blobs;
    this.#leaser = leaser;
    this.#options = options;
    this.#lease = lease;
  }

  /** @throws LockedError where a prune does not end in time. */
  static async hold(
    blobs: BlobStore,
    place: Parameters<typeof leaserOf>[1],
    options: AcquireOptions,
  ): Promise<CopyTarget> {
    const leaser = leaserOf(blobs.storage, place);
    const lease = await leaser.acquire("shared", options);
    try {
      return new CopyTarget(await blobs.renewed(), leaser, options, lease);
    } catch (error) {
      await lease.release();
      throw error;
    }
  }

  get blobs(): BlobStore {
    return this.#blobs;
  }

  get isHeld(): boolean {
    return this.#lease.isHeld;
  }

  /** Takes the lease anew where it was lost: what was seen before may be gone. */
  async holdAgain(): Promise<void> {
    await this.#lease.release();
    this.#there.clear();
    this.#lease = await this.#leaser.acquire("shared", this.#options);
    this.#blobs = await this.#blobs.renewed();
  }

  /** Names of those that are not there, or cannot be whole. One that was seen under this lease is not looked for again. */
  async missing(blobs: ReadonlyMap<string, number>, signal?: AbortSignal): Promise<string[]> {
    const unseen = new Map([...blobs].filter(([name]) => !this.#there.has(name)));
    const missing = await this.blobs.missing(unseen, signal);
    const gone = new Set(missing);
    for (const name of unseen.keys()) if (!gone.has(name)) this.#there.add(name);
    return missing;
  }

  /** They were written, or seen, under this lease. */
  saw(names: Iterable<string>): void {
    for (const name of names) this.#there.add(name);
  }

  /**
   * Creates the document of a snapshot whose blobs are all there. False where there is one of that id.
   *
   * @throws LockedError where the lease was lost meanwhile: no document is there then, or all its blobs are.
   */
  async publish(
    id: string,
    document: Buffer,
    blobs: ReadonlyMap<string, number>,
    signal?: AbortSignal,
  ): Promise<boolean> {
    const { storage, documents } = this.blobs;
    await this.#lease.assertHeld();
    signal?.throwIfAborted();
    await this.blobs.keepLocked(blobs.keys(), signal);
    const object = documents.seal(document, id);
    if (!(await storage.writeNew(snapshotName(id), object, { signal, lock: true }))) return false;
    if (this.#lease.isHeld) return true;
    const missing = await this.blobs.missing(blobs);
    if (missing.length === 0 && (await this.blobs.isCurrent())) return true;
    await storage.remove(snapshotName(id));
    throw new LockedError(
      `The lease on ${storage.location} was lost, and ${missing.length} blobs of snapshot ${id} were removed meanwhile.`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lease.release();
  }
}
