import { assertKnown, assertSignal } from "../checks.ts";
import { assertReason, assertTags, type Labels } from "../engine/labels/label-record.ts";
import { LabelStore } from "../engine/labels/label-store.ts";
import { leaserOf } from "../engine/lease/leaser.ts";
import { ValidationError } from "../errors.ts";
import type { SnapshotDetails } from "../sources/lancedb/snapshot-view.ts";
import type { OpenedRepository } from "./opened-repository.ts";

export interface LabelOptions {
  /** Of which database the snapshot is meant, where the repository has several: by its id, or its directory. */
  readonly source?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PinOptions extends LabelOptions {
  /** For people: 1 to 1,000 characters. */
  readonly reason?: string | undefined;
}

export interface TagOptions extends LabelOptions {
  /** As `backup` takes them. */
  readonly add?: readonly string[] | undefined;
  readonly remove?: readonly string[] | undefined;
}

/** How long to wait for a prune, or a rotation of keys, to end. */
const LEASE_TIMEOUT_MS = 30_000;

export async function pinSnapshot(
  place: OpenedRepository,
  id: string,
  options: PinOptions,
): Promise<SnapshotDetails> {
  assertKnown(options, "pin", { source: true, signal: true, reason: true });
  const { reason } = options;
  assertReason(reason);
  return change(place, id, options, (now, isAssumed) => {
    if (!isAssumed && now.pinned && (reason === undefined || now.pinned.reason === reason)) return now;
    const since = now.pinned?.since ?? new Date();
    return { ...now, pinned: { since, ...(reason !== undefined && { reason }) } };
  });
}

export async function unpinSnapshot(
  place: OpenedRepository,
  id: string,
  options: LabelOptions,
): Promise<SnapshotDetails> {
  assertKnown(options, "unpin", { source: true, signal: true });
  return change(place, id, options, (now) => (now.pinned ? { tags: now.tags } : now));
}

export async function tagSnapshot(
  place: OpenedRepository,
  id: string,
  options: TagOptions,
): Promise<SnapshotDetails> {
  assertKnown(options, "tag", { source: true, signal: true, add: true, remove: true });
  const { add = [], remove = [] } = options;
  assertTags(add);
  assertTags(remove);
  const both = add.find((tag) => remove.includes(tag));
  if (both !== undefined) throw new ValidationError(`The tag ${both} is to be added and removed: which?`);
  if (add.length + remove.length === 0) throw new ValidationError("Say which tags to add or to remove.");
  return change(place, id, options, (now) => {
    const kept = now.tags.filter((tag) => !remove.includes(tag));
    const tags = [...kept, ...add.filter((tag) => !kept.includes(tag))];
    const isSame = tags.length === now.tags.length && kept.length === now.tags.length;
    return isSame ? now : { ...now, tags };
  });
}

async function change(
  place: OpenedRepository,
  reference: string,
  { source, signal }: LabelOptions,
  revise: (now: Labels, isAssumed: boolean) => Labels,
): Promise<SnapshotDetails> {
  assertSignal(signal);
  place.assertMarked();
  const { catalog, blobs, logger, storage } = place;
  return place.inPlace(
    async () => {
      const { snapshot } = await catalog.stored.find(reference, { source, signal });
      const { id, tags } = snapshot;
      // Records are sealed by a key that is not to be dropped meanwhile.
      await using _lease = place.ring
        ? await leaserOf(storage, { logger }).acquire("shared", { signal, timeoutMs: LEASE_TIMEOUT_MS })
        : undefined;
      const { documents } = await blobs.renewed();
      await new LabelStore({ storage, documents }).change(id, tags, revise, signal);
      const now = await catalog.get(id, { source, signal });
      logger.info("labels of a snapshot", { snapshot: id, tags: now.tags, pinned: now.pinned !== undefined });
      return now;
    },
    { writes: true },
  );
}
