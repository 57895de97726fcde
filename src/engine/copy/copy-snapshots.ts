import {
  type BackupError,
  BackupNotFoundError,
  CorruptError,
  LockedError,
  UnsupportedError,
} from "../../errors.ts";
import { isNotWritable } from "../../fs/io.ts";
import type { Logger } from "../../logger.ts";
import type { Clock } from "../../util/clock.ts";
import type { SnapshotFilter } from "../catalog/filter.ts";
import { encodeSnapshot } from "../format/encode-snapshot.ts";
import type { AcquireOptions, Lease } from "../lease/lease.ts";
import { leaserOf } from "../lease/leaser.ts";
import type { OnProgress } from "../progress.ts";
import { blobsOfContent, type StoredContent, type StoredSnapshot } from "../snapshot.ts";
import { copyLabels } from "./copy-labels.ts";
import { type CopyWork, copyObjects, isSameForm } from "./copy-objects.ts";
import type { CopiedSnapshot, CopyReport, FailedCopy } from "./copy-report.ts";
import { CopyTarget } from "./copy-target.ts";
import { type CopyPlace, type CopyPlan, isCopied, planCopy } from "./plan-copy.ts";
import { SourceFailure } from "./source-failure.ts";
import { asStored, storeContents } from "./store-contents.ts";

export interface CopyContext {
  readonly from: CopyPlace;
  readonly to: CopyPlace;
  readonly logger: Logger;
  /** @internal The leases' clock, for tests. */
  readonly clock?: Clock | undefined;
}

/** Options that have been checked. */
export interface CopyRequest {
  readonly filter: SnapshotFilter;
  /** Whether pins and tags that were said of snapshots later are taken along. */
  readonly labels?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
  /** How long to wait for a prune, here or there. */
  readonly lockTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

const DEFAULT_TIMEOUT_MS = 30_000;
/** So often a snapshot is begun anew whose lease was lost. */
const MOST_ATTEMPTS = 10;

/**
 * Copies snapshots from one repository to another. One is there whole, or not at all; interrupted anywhere, the next run
 * uses the blobs that are there.
 *
 * @throws ValidationError where an id stands for another snapshot there. @throws LockedError, IoError
 */
export async function copySnapshots(context: CopyContext, request: CopyRequest): Promise<CopyReport> {
  const { filter, signal, dryRun = false } = request;
  signal?.throwIfAborted();
  const started = performance.now();
  const plan = await planCopy(context.from, context.to, filter, signal);
  const report = (done: Omit<CopyReport, "dryRun" | "durationMs">): CopyReport => ({
    dryRun,
    ...done,
    durationMs: Math.round(performance.now() - started),
  });
  const { wanted, present, failed } = plan;
  if (dryRun || (wanted.length === 0 && !request.labels)) {
    return report({ copied: wanted.map((snapshot) => ({ snapshot, storedBytes: 0 })), present, failed });
  }
  const wait = { signal, timeoutMs: request.lockTimeoutMs ?? DEFAULT_TIMEOUT_MS };
  await using _source = await holdSource(context, wait);
  await using target = await CopyTarget.hold(context.to.blobs, context, wait);
  return report(await new CopyRun(context, request, plan, target).run());
}

/** Keeps blobs from being pruned there meanwhile, where anything can be written there. */
async function holdSource(
  { from, logger, clock }: CopyContext,
  wait: AcquireOptions,
): Promise<Lease | undefined> {
  try {
    return await leaserOf(from.blobs.storage, { logger, clock }).acquire("shared", wait);
  } catch (error) {
    const isReadOnly = isNotWritable(error);
    if (!isReadOnly && !(error instanceof UnsupportedError)) throw error;
    logger.warn(
      "nothing can be written in the source, so that nobody there knows of the copy: a snapshot that is deleted and pruned there meanwhile is passed over",
      { source: from.blobs.storage.location, reason: error.message },
    );
    return undefined;
  }
}

class CopyRun {
  readonly #context: CopyContext;
  readonly #request: CopyRequest;
  readonly #plan: CopyPlan;
  readonly #target: CopyTarget;
  readonly #copied: CopiedSnapshot[] = [];
  readonly #present: string[];
  readonly #failed: FailedCopy[];
  /** Snapshots of the target by the ids of their sources: the next one of a source has most of its contents. */
  readonly #before = new Map<string, StoredContent | undefined>();
  readonly #progress: CopyProgress;

  constructor(context: CopyContext, request: CopyRequest, plan: CopyPlan, target: CopyTarget) {
    this.#context = context;
    this.#request = request;
    this.#plan = plan;
    this.#target = target;
    this.#present = [...plan.present];
    this.#failed = [...plan.failed];
    this.#progress = new CopyProgress(plan.wanted, request.onProgress);
  }

  async run(): Promise<Omit<CopyReport, "dryRun" | "durationMs">> {
    for (const snapshot of this.#plan.wanted) {
      await this.#copyUnlessDamaged(snapshot);
      this.#progress.finish(snapshot);
    }
    const there = [...this.#copied.map(({ snapshot }) => snapshot.id), ...this.#present];
    const labelled = this.#request.labels ? await copyLabels(this.#context, this.#target, there) : undefined;
    return {
      ...{ copied: this.#copied, present: this.#present, failed: this.#failed },
      ...(labelled && { labelled }),
    };
  }

  async #copyUnlessDamaged(snapshot: StoredSnapshot): Promise<void> {
    const { id } = snapshot;
    const { logger } = this.#context;
    try {
      await this.#copyWithLease(snapshot);
    } catch (error) {
      const failure = ofTheSource(error);
      if (!failure) throw error;
      if (failure instanceof BackupNotFoundError || (await this.#isGone(id))) {
        logger.info("a snapshot was deleted while others were copied, and is passed over", { snapshot: id });
        return;
      }
      logger.warn("a snapshot was not copied", { snapshot: id, reason: failure.message });
      this.#failed.push({ snapshot: id, error: failure });
    }
  }

  async #isGone(id: string): Promise<boolean> {
    return !(await this.#context.from.catalog.ids(this.#request.signal)).includes(id);
  }

  /** A lease that was lost may have let somebody remove blobs: then all of them are looked at anew. */
  async #copyWithLease(snapshot: StoredSnapshot): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#copy(snapshot);
      } catch (error) {
        const isLost = error instanceof LockedError && !this.#target.isHeld;
        if (!isLost || attempt === MOST_ATTEMPTS) throw error;
        await this.#target.holdAgain();
      }
    }
  }

  async #copy(snapshot: StoredSnapshot): Promise<void> {
    const { from, to } = this.#context;
    const { signal } = this.#request;
    const { id } = snapshot;
    const { bytes, content } = await readSource(from, id, signal);
    const work: CopyWork = {
      ...{ from: from.blobs, target: this.#target, content, signal },
      onStored: (stored) => this.#progress.add(snapshot, stored),
    };
    const stored = isSameForm(from.blobs, to.blobs)
      ? { document: bytes, content, storedBytes: await copyObjects(work) }
      : await this.#storeAnew(work);
    const blobs = blobsOfContent(stored.content);
    if (await this.#target.publish(id, stored.document, blobs, signal)) {
      this.#copied.push({ snapshot, storedBytes: stored.storedBytes });
    } else if (await isCopied(from, to, id, signal)) {
      this.#present.push(id); // somebody else has copied it meanwhile
    }
    for (const { source } of stored.content.parts) this.#before.set(source.id, stored.content);
  }

  async #storeAnew(
    work: CopyWork,
  ): Promise<{ readonly document: Buffer; readonly content: StoredContent; readonly storedBytes: number }> {
    const contents = await storeContents(work, await this.#snapshotsBefore(work.content));
    const snapshot = asStored(work.content.snapshot, contents);
    const { bytes: document, checksum } = encodeSnapshot(snapshot, contents.parts);
    const content = { snapshot: { ...snapshot, checksum }, parts: contents.parts };
    return { document, content, storedBytes: contents.storedBytes };
  }

  /** The target's newest ones of the same sources. */
  async #snapshotsBefore({ parts }: StoredContent): Promise<StoredContent[]> {
    const { to } = this.#context;
    for (const { source } of parts) {
      if (this.#before.has(source.id)) continue;
      this.#before.set(source.id, await to.catalog.newestOf({ id: source.id }, this.#request.signal));
    }
    return [...new Set(parts.flatMap(({ source }) => this.#before.get(source.id) ?? []))];
  }
}

/** @throws SourceFailure where the document is damaged. @throws BackupNotFoundError where it is gone. */
async function readSource({ catalog }: CopyPlace, id: string, signal: AbortSignal | undefined) {
  try {
    return await catalog.document(id, signal);
  } catch (error) {
    if (error instanceof CorruptError || error instanceof UnsupportedError) throw new SourceFailure(error);
    throw error;
  }
}

/** What one snapshot of the source has failed with; undefined for what ends the copy. */
function ofTheSource(error: unknown): BackupError | undefined {
  if (error instanceof SourceFailure) return error.error;
  return error instanceof BackupNotFoundError ? error : undefined;
}

/** Files and bytes of snapshots that are in the target; what several share counts for each. */
class CopyProgress {
  readonly #onProgress: OnProgress | undefined;
  readonly #total: { readonly totalFiles: number; readonly totalBytes: number };
  #done = { files: 0, bytes: 0 };
  #current = 0;

  constructor(wanted: readonly StoredSnapshot[], onProgress: OnProgress | undefined) {
    const sum = (key: "files" | "bytes") => wanted.reduce((total, snapshot) => total + snapshot[key], 0);
    this.#total = { totalFiles: sum("files"), totalBytes: sum("bytes") };
    this.#onProgress = onProgress;
  }

  add({ bytes }: StoredSnapshot, stored: number): void {
    this.#current = Math.min(bytes, this.#current + stored);
    this.#tell();
  }

  finish({ files, bytes }: StoredSnapshot): void {
    this.#done = { files: this.#done.files + files, bytes: this.#done.bytes + bytes };
    this.#current = 0;
    this.#tell();
  }

  #tell(): void {
    const { files, bytes } = this.#done;
    this.#onProgress?.({ phase: "copy", files, bytes: bytes + this.#current, ...this.#total });
  }
}
