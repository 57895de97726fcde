import { open, readdir, readFile, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { errnoOf, isMissing } from "./io.ts";
import { takeOwner } from "./take-owner.ts";
import { isProcessIdentity, isSeen, livenessOf, thisProcess } from "./this-process.ts";

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
    return; // a later writer passes it over when this process has ended, and prune sweeps it
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
