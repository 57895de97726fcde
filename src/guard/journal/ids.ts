import { closeSync, mkdirSync, opendirSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, isMissing, toIoError } from "../../fs/io.ts";
import { listNames } from "../../fs/list-names.ts";
import { makeDirectory } from "../../fs/make-directory.ts";
import { takeOwner } from "../../fs/take-owner.ts";
import { privateDirectory } from "../../lance/private-directory.ts";

const SECONDS_AN_HOUR = 3600;

/** How many seconds of long ago are forgotten when a new one begins: more than come, so that all go in time. */
const FORGOTTEN_AT_ONCE = 3;

/**
 * Takes the next id, `<kind>_<unix seconds>`, with a suffix where several fall into one second. An id is
 * used once: a process that sweeps an entry must never meet another one of the same name. So it stays taken for
 * an hour at least, as a file in `ids/<hour>/<second>/`, which is all that the next one has to look at.
 */
export function takeId(database: string, kind: "backup" | "restore" = "backup"): string {
  for (;;) {
    const seconds = now();
    const [directory, isNew] = secondsDirectory(database, seconds);
    if (isNew) forgetOldSeconds(database, seconds);
    for (let suffix = 1 + highestSuffix(directory, kind); ; suffix++) {
      const id = suffix === 1 ? `${kind}_${seconds}` : `${kind}_${seconds}_${suffix}`;
      const taken = take(join(directory, id));
      // A process that was stopped for so long in between may have missed that it was used and forgotten.
      if (taken && now() - seconds < SECONDS_AN_HOUR / 2) return id;
      if (taken || taken === undefined) break;
    }
  }
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}

/** The directory of a second, and whether this call made it. */
function secondsDirectory(database: string, seconds: number): [string, boolean] {
  const hour = String(Math.floor(seconds / SECONDS_AN_HOUR));
  const parent = join(privateDirectory(database, "ids"), hour);
  makeDirectory(parent);
  const directory = join(parent, String(seconds));
  try {
    mkdirSync(directory);
    takeOwner(directory);
    return [directory, true];
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return [directory, false];
    throw toIoError(error, "make directory", directory);
  }
}

/** True where it is taken now, false where it was, undefined where the second's directory has gone. */
function take(path: string): boolean | undefined {
  try {
    closeSync(openSync(path, "wx"));
    takeOwner(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    if (isMissing(error)) return undefined;
    throw toIoError(error, "create", path);
  }
}

function highestSuffix(directory: string, kind: string): number {
  const suffixes = listNames(directory).map((name) => {
    const [, its, suffix = "1"] = /^(backup|restore)_\d+(?:_(\d+))?$/.exec(name) ?? [];
    return its === kind ? Number(suffix) : 0;
  });
  return Math.max(0, ...suffixes);
}

/** A few at a time: what a busy hour has left must not hold up one operation. */
function forgetOldSeconds(database: string, seconds: number): void {
  const ids = privateDirectory(database, "ids");
  for (const hour of listNames(ids)) {
    if (!/^\d+$/.test(hour) || (Number(hour) + 2) * SECONDS_AN_HOUR > seconds) continue;
    try {
      forgetSome(join(ids, hour));
    } catch {
      continue; // it takes space, and nothing else
    }
    return;
  }
}

function forgetSome(directory: string): void {
  const found = opendirSync(directory);
  try {
    for (let count = 0; count < FORGOTTEN_AT_ONCE; count++) {
      const name = found.readSync()?.name;
      rmSync(name === undefined ? directory : join(directory, name), { recursive: true, force: true });
      if (name === undefined) return;
    }
  } finally {
    found.closeSync();
  }
}
