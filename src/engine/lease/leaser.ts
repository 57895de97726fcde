import { defaultLogger, type Logger } from "../../logger.ts";
import type { Storage } from "../../storage/storage.ts";
import { type Clock, systemClock } from "../../util/clock.ts";
import { DiskLeaser } from "./disk-leaser.ts";
import type { Leaser } from "./lease.ts";
import { StoreLeaser } from "./store-leaser.ts";

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
