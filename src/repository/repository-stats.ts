import { assertKnown, assertSignal } from "../checks.ts";
import { type RoomTaken, roomTaken } from "../engine/catalog/room-taken.ts";
import type { BlobCount } from "../engine/prune/prune-report.ts";
import { assertPolicy, type RetentionPolicy } from "../engine/retention/retention-policy.ts";
import type { OpenedRepository } from "./opened-repository.ts";

export interface StatsOptions {
  /** What a prune by these rules would free is told too. Default: by none, which frees what no snapshot needs. */
  readonly policy?: RetentionPolicy | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What takes the room of a repository. */
export interface RepositoryStats extends RoomTaken {
  /** What a prune would give back; undefined where a snapshot cannot be read, since none frees anything then. */
  readonly prune?:
    | {
        /** Snapshots that the rules remove. */
        readonly removed: number;
        /** What it would free now, by a grace period of 24 hours. */
        readonly now: BlobCount;
        /** What it, or a later one, would free when the grace period is over. */
        readonly later: BlobCount;
      }
    | undefined;
}

export async function statsOf(place: OpenedRepository, options: StatsOptions): Promise<RepositoryStats> {
  assertKnown(options, "stats", { policy: true, signal: true });
  const { policy = {}, signal } = options;
  assertPolicy(policy);
  assertSignal(signal);
  const { storage, catalog, logger, blobs } = place;
  return place.inPlace(async () => {
    const room = await roomTaken(catalog.stored, storage, signal);
    if (room.unreadable.length > 0) return room;
    const { prune } = await import("../engine/prune/prune-snapshots.ts");
    const place = { storage, logger, documents: blobs.documents };
    const { removed, freed, waiting } = await prune(place, { ...policy, dryRun: true, signal });
    const later = waiting.reduce(
      (sum, each) => ({ blobs: sum.blobs + each.blobs, bytes: sum.bytes + each.bytes }),
      { blobs: 0, bytes: 0 },
    );
    return { ...room, prune: { removed: removed.length, now: freed, later } };
  });
}
