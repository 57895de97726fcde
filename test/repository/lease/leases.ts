import { type LeaseKind, newLeaseName } from "../../../src/engine/format/names.ts";
import type { AcquireOptions, Lease } from "../../../src/engine/lease/lease.ts";
import { encodeLease } from "../../../src/engine/lease/lease-record.ts";
import { leaserOf } from "../../../src/engine/lease/leaser.ts";

import { thisProcess } from "../../../src/fs/this-process.ts";
import type { Logger } from "../../../src/logger.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import type { Clock } from "../../../src/util/clock.ts";

/** What a lease on a disk says. */
const TERMS = { renewEveryMs: 15_000, deadAfterMs: 60 * 60_000 };

export interface LeaseOptions extends AcquireOptions {
  readonly logger?: Logger;
  readonly clock?: Clock;
}

/** In one call, for tests. */
export function acquireLease(storage: Storage, kind: LeaseKind, options: LeaseOptions = {}): Promise<Lease> {
  const { logger, clock, ...rest } = options;
  return leaserOf(storage, { logger, clock }).acquire(kind, rest);
}

/** Process ids end below this on every Linux. */
const NO_PROCESS = 2 ** 22 + 1;

export const owners = {
  alive: thisProcess,
  dead: { ...thisProcess, pid: NO_PROCESS, startTime: "1" },
  "of another boot": { ...thisProcess, bootId: "another" },
  unknown: { ...thisProcess, host: "elsewhere.example" },
} as const;

/** Leaves a lease of another holder in the storage, and answers with its name. */
export async function leave(
  storage: Storage,
  kind: LeaseKind,
  owner: keyof typeof owners,
  renewedAt: Date = new Date(),
): Promise<string> {
  const name = newLeaseName(kind);
  await storage.write(
    name,
    encodeLease({ kind, owner: owners[owner], since: renewedAt, renewedAt, ...TERMS }),
  );
  return name;
}
