import { randomBytes } from "node:crypto";

// Databases of restore tests. Their names say when they were made.

/** For a server's own regular expressions. */
export const SCRATCH_NAMES = "^lancedb_backup_test_[0-9]+_[0-9a-f]{8}$";

/** The address of a new one on the same server. */
export function scratchOf<T extends { readonly uri: string; readonly database: string }>(address: T): T {
  const seconds = Math.floor(Date.now() / 1000);
  const database = `lancedb_backup_test_${seconds}_${randomBytes(4).toString("hex")}`;
  return { ...address, database, uri: address.uri.replace(/[^/]*$/, database) };
}

/** How long ago it was made, in seconds, by its name. */
export function ageOfScratch(name: string): number {
  return Date.now() / 1000 - Number(name.split("_")[3]);
}

/** One that is older was left by a process that died: no restore test lasts so long. */
export const ABANDONED_SECONDS = 7 * 86_400;
