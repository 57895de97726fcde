import { defaultLogger, type Logger } from "../../logger.ts";
import type { Storage } from "../../storage/storage.ts";
import { type Clock, systemClock } from "../../util/clock.ts";
import type { LeaseKind } from "../format/names.ts";
import { DiskLeaser } from "./disk-leaser.ts";
import type { Lease } from "./lease.ts";
import type { FoundLease } from "./lease-record.ts";
import { StoreLeaser } from "./store-leaser.ts";

export interface AcquireOptions {
  readonly signal?: AbortSignal | undefined;
  /** How long to wait for others, milliseconds. Default 60,000; 0: not at all. */
  readonly timeoutMs?: number | undefined;
}

/** Who works in a repository: backups beside each other, and what removes blobs alone (docs/formats.md, *Leases*). */
export interface Leaser {
  /**
   * Waits until the lease can be had. While an `exclusive` one waits for the `shared` ones that are there, no new ones
   * come in.
   *
   * @throws LockedError after the time limit, naming who holds it. @throws IoError. @throws the signal's reason. Then
   * no lease is left.
   */
  acquire(kind: LeaseKind, options?: AcquireOptions): Promise<Lease>;

  /** Every lease in the storage, and what is known of its holder. */
  list(signal?: AbortSignal): Promise<FoundLease[]>;

  /** Takes a lease away, whoever holds it: a live holder stops when it finds that out. One that is not there is success. */
  remove(name: string): Promise<void>;
}

/** The way that fits the storage: signs of life on a disk, the store's clock elsewhere. */
export function leaserOf(
  storage: Storage,
  options: { readonly logger?: Logger | undefined; readonly clock?: Clock | undefined } = {},
): Leaser {
  const { logger = defaultLogger(), clock = systemClock } = options;
  const place = { storage, location: storage.location, logger, clock };
  const { local } = storage;
  return local ? new DiskLeaser(place, local) : new StoreLeaser(place);
}
