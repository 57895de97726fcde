import {
  beginEpoch,
  type KeySlot,
  listKeys,
  planEpoch,
  removeStaleSlots,
  warnOfClouds,
} from "./manage-keys.ts";
import {
  foretellRewrite,
  type RewriteOptions,
  type RewritePlace,
  type Rewritten,
  rewriteEpoch,
} from "./rewrite-epoch.ts";

export interface RotateRequest extends RewriteOptions {
  readonly rewrite: boolean;
  readonly dryRun: boolean;
}

export interface RotationReport {
  readonly dryRun: boolean;
  /** What is written by from now on. */
  readonly epoch: number;
  /** Epochs before by which something may still be encrypted. */
  readonly olderEpochs: readonly number[];
  /** The key slots of the epoch; before it was made, those that will be made anew. */
  readonly slots: readonly KeySlot[];
  /** What was encrypted anew, or would be. */
  readonly rewritten?: Rewritten | undefined;
}

/** Rotates as `Repository.keys.rotate` says. */
export async function rotateKeys(place: RewritePlace, request: RotateRequest): Promise<RotationReport> {
  const { ring } = place;
  const { rewrite, dryRun, signal } = request;
  signal?.throwIfAborted();
  await ring.refresh();
  // One that was interrupted goes on; a new epoch would encrypt anew what is new already.
  const goesOn = rewrite && ring.isRewriting;
  const next = goesOn ? undefined : await planEpoch(place);
  if (dryRun) {
    const rewritten = rewrite ? await foretellRewrite(place, signal) : undefined;
    const epoch = next?.keys.epoch ?? ring.current.epoch;
    const slots = await listKeys(place);
    return { dryRun, epoch, olderEpochs: rewrite ? [] : ring.needed, slots, ...(rewritten && { rewritten }) };
  }
  if (next) {
    await beginEpoch(place, next);
    await removeStaleSlots(place);
    await warnOfClouds(place);
  }
  const rewritten = rewrite ? await rewriteEpoch(place, request) : undefined;
  const { epoch } = ring.current;
  return {
    dryRun,
    epoch,
    olderEpochs: ring.needed.filter((one) => one !== epoch),
    slots: await listKeys(place),
    ...(rewritten && { rewritten }),
  };
}
