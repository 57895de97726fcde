import { livenessOfToken } from "../../fs/this-process.ts";
import type { LocalFiles } from "../../storage/local-files.ts";
import type { Storage } from "../../storage/storage.ts";
import { AUDIT, BLOBS, LABELS, LEASES, MARKS, SNAPSHOTS, UNFINISHED, VERIFY } from "../format/names.ts";

/** A snapshot that is open: links of a process. */
const OPENED = /^\.open-([^.]+)\./;

/** Nobody writes for so long without a byte. */
const LEAST_AGE_MS = 60 * 60 * 1000;

/**
 * What processes that died left half-written, where the repository is a local directory: names of files and
 * directories that say that their maker is dead; where its life cannot be told, those in which nothing has
 * changed for `ageMs`, an hour at least, unless somebody is at work.
 *
 * @param options.now milliseconds since 1970.
 */
export async function findUnfinished(
  { local }: Storage,
  options: { readonly now: number; readonly ageMs: number; readonly isBusy: boolean },
): Promise<string[]> {
  if (!local) return [];
  const found: string[] = [];
  for (const folder of ["", BLOBS, SNAPSHOTS, LEASES, MARKS, LABELS, AUDIT, VERIFY]) {
    for await (const { name } of local.strays(folder, { deep: folder === BLOBS })) {
      const base = name.slice(name.lastIndexOf("/") + 1);
      const path = local.pathOf(name);
      const opener = folder === "" ? OPENED.exec(base)?.[1] : undefined;
      if (opener !== undefined && livenessOfToken(opener, path) === "dead") found.push(name);
      if (!UNFINISHED.test(base)) continue;
      const life = livenessOfToken(base.split(".")[1] ?? "", path);
      if (life === "dead" || (life === "unknown" && (await isOld(local, name, options)))) found.push(name);
    }
  }
  return found;
}

export async function removeUnfinished({ local }: Storage, names: readonly string[]): Promise<void> {
  for (const name of names) await local?.removeStray(name);
}

async function isOld(
  local: LocalFiles,
  name: string,
  { now, ageMs, isBusy }: Parameters<typeof findUnfinished>[1],
): Promise<boolean> {
  const changed = isBusy ? undefined : await local.newestChange(name);
  return changed !== undefined && now - changed > Math.max(ageMs, LEAST_AGE_MS);
}
