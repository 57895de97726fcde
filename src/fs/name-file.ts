import { linkSync, statSync, writeFileSync } from "node:fs";
import { open, readdir, readFile, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { NotFoundError, ValidationError } from "../errors.ts";
import { advice } from "../hint.ts";
import { errnoOf, isMissing, toIoError } from "./io.ts";
import { takeOwner } from "./take-owner.ts";
import { isProcessIdentity, isSeen, livenessOf, thisProcess } from "./this-process.ts";

/**
 * Makes a file whose name alone counts; one that has the name stays. As a link to `body` where that can be: a file of
 * its own is dear where thousands were removed within the last minute, since ext4 passes over their inodes one by
 * one (docs/performance.md). Throws the system's own error.
 */
export function nameFile(body: string, path: string): void {
  try {
    linkSync(body, path);
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return;
    writeFileSync(path, "");
    takeOwner(path);
  }
}

/** Errors by which a file system, or what guards it (a sandbox, Android), says that it makes no hard link there. */
const NO_LINKS = new Set(["EPERM", "EACCES", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EXDEV", "EMLINK", "EROFS"]);

/** Whether an error says that there are no hard links; where it is about something else, what is tried instead fails too. */
export function hasNoLinks(error: unknown): boolean {
  return NO_LINKS.has(errnoOf(error) ?? "");
}

/** Gives a finished file its name, unless that is taken: then `false`. A link never replaces a file. */
export async function nameNew(temporary: string, path: string, signal?: AbortSignal): Promise<boolean> {
  try {
    linkSync(temporary, path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    if (!hasNoLinks(error)) throw error;
  }
  return nameByClaim(temporary, path, signal);
}

/** A claim is held for one rename; where its holder's life cannot be known, an older one is a dead one's. */
const CLAIM_MS = 60_000;
const PAUSE_MS = 20;
const CLAIM = /^\.(.+)\.(\d{1,9})\.claim$/;

/**
 * Gives a finished file its name unless that is taken, on a file system without links (exFAT, some network shares).
 * Who has the highest of the numbered claims beside the name may look and rename; a dead one's is passed over by the
 * next number. A claim is removed only by its maker, or by the holder of a higher one when it is done: so nobody
 * ever finds none while somebody holds one.
 *
 * @param isWanted asked directly before it gets its name; `false`, too, where it is not.
 */
export async function nameByClaim(
  temporary: string,
  path: string,
  signal?: AbortSignal,
  isWanted: () => boolean = () => true,
): Promise<boolean> {
  for (;;) {
    signal?.throwIfAborted();
    if ((await ageOf(path)) !== undefined) return false;
    const claim = await takeClaim(path);
    if (claim !== undefined) {
      try {
        if ((await ageOf(path)) !== undefined || !isWanted()) return false;
        await rename(temporary, path);
        return true;
      } finally {
        await removeClaims(path, claim);
      }
    }
    await sleep(PAUSE_MS);
  }
}

/** The number of the claim that was taken; undefined where somebody else has one. */
async function takeClaim(path: string): Promise<number | undefined> {
  const highest = Math.max(0, ...(await claims(path)));
  if (highest > 0 && !(await isDead(claimPath(path, highest)))) return undefined;
  const mine = highest + 1;
  try {
    const file = await open(claimPath(path, mine), "wx");
    await file.writeFile(JSON.stringify(thisProcess)).finally(() => file.close());
    takeOwner(claimPath(path, mine));
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return undefined;
    throw error;
  }
  // We may have been slow, and this number used and removed meanwhile.
  if (Math.max(...(await claims(path))) === mine) return mine;
  await removeQuietly(claimPath(path, mine));
  return undefined;
}

async function isDead(claim: string): Promise<boolean> {
  try {
    const owner: unknown = JSON.parse(await readFile(claim, "utf8"));
    const life = isProcessIdentity(owner) ? livenessOf(owner) : "unknown";
    if (isProcessIdentity(owner) && isSeen(owner, life)) return life === "dead";
  } catch (error) {
    if (isMissing(error)) return false;
    if (!(error instanceof SyntaxError)) throw error; // it is being written, or its maker died in between
  }
  return ((await ageOf(claim)) ?? 0) > CLAIM_MS;
}

async function claims(path: string): Promise<number[]> {
  const names = await readdir(dirname(path));
  return names.flatMap((name) => {
    const [, of, number] = CLAIM.exec(name) ?? [];
    return of === basename(path) ? [Number(number)] : [];
  });
}

/** Ours last: until it is gone, others wait. */
async function removeClaims(path: string, mine: number): Promise<void> {
  const done = (await claims(path)).filter((number) => number <= mine).sort((a, b) => a - b);
  for (const number of done) await removeQuietly(claimPath(path, number));
}

async function removeQuietly(claim: string): Promise<void> {
  try {
    await unlink(claim);
  } catch {
    return; // a later writer passes it over when this process has ended, and prune removes it
  }
}

function claimPath(path: string, number: number): string {
  return join(dirname(path), `.${basename(path)}.${number}.claim`);
}

/** Milliseconds since a file was last written; undefined where it is not there. */
async function ageOf(path: string): Promise<number | undefined> {
  try {
    return Date.now() - (await stat(path)).mtimeMs;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/**
 * Gives a file a second name, and answers with its bytes.
 *
 * @throws NotFoundError where there is no such file. @throws ValidationError where the file system makes no such link.
 */
export function linkFile(file: string, name: string): number {
  try {
    linkSync(file, name);
  } catch (error) {
    if (isMissing(error)) throw new NotFoundError(`There is no ${file}.`, { path: file, cause: error });
    if (!hasNoLinks(error)) throw toIoError(error, "link to", name);
    throw new ValidationError(
      advice`The file system cannot link ${file} to ${name} (${errnoOf(error) ?? "unknown"}). Restore it ${{ options: { link: false } }}.`,
      { cause: error },
    );
  }
  return statSync(name).size;
}
