import { encodeLease, type LeaseKind, newLeaseName } from "../../../src/engine/lease/lease-record.ts";
import { thisProcess } from "../../../src/fs/this-process.ts";
import type { Storage } from "../../../src/storage/storage.ts";

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
  await storage.write(name, encodeLease({ kind, owner: owners[owner], since: renewedAt, renewedAt }));
  return name;
}
