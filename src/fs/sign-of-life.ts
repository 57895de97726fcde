import { randomUUID } from "node:crypto";
import { closeSync, fstatSync, openSync, readFileSync, unlinkSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isSeen, type Liveness, livenessOf, type ProcessIdentity } from "./this-process.ts";

/** How often a process gives a sign of life in what it holds. */
const SIGN_MS = 500;

/** What shows no sign for so long shows no life: some can come late, where a process computes without a pause. */
const FRESH_MS = 5000;

const LOOK_MS = 100;

/** What each file must hold to be the one that was meant. */
const given = new Map<string, string>();
let timer: NodeJS.Timeout | undefined;

/**
 * From now on, until the answer is called, the file's time of change shows twice a second that this process lives, also
 * to those who cannot see it: from another machine, or container. Does not keep the process alive.
 *
 * @param holds what stands in the file as long as it is this process's
 */
export function giveSigns(path: string, holds: string): () => void {
  given.set(path, holds);
  timer ??= setInterval(giveAll, SIGN_MS).unref();
  return () => {
    given.delete(path);
    if (given.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

function giveAll(): void {
  for (const [path, holds] of given) giveSign(path, holds);
}

/** Writes the first byte again, of a file that is still the one: it may have been given back, or be another's by now. */
function giveSign(path: string, holds: string): void {
  try {
    const file = openSync(path, "r+");
    try {
      const content = readFileSync(file);
      if (content.includes(holds)) writeSync(file, content, 0, 1, 0);
    } finally {
      closeSync(file);
    }
  } catch {
    return; // it is away, or has been taken: whoever holds it finds that out where it counts
  }
}

/**
 * `undecided`: it was changed not long ago, and nobody has watched it for long enough to know whether that was a sign.
 */
type Sign = "alive" | "silent" | "undecided";

interface Watched {
  /** Time of change, by the file system's clock. */
  readonly changed: number;
  /** When it was first seen so, and when it was last looked at, by the monotonic clock. */
  readonly since: number;
  readonly looked: number;
  readonly sign: Sign;
}

const watched = new Map<string, Watched>();
const MOST_WATCHED = 1000;

/**
 * Whether a file shows that whoever holds it lives: it is changed while we look. Clocks of two machines are never
 * compared: what was changed long ago is told by the file system's own, where anything can be written beside it.
 */
function lookForSign(path: string): Sign {
  const changed = timeOfChange(path);
  const before = watched.get(path);
  if (changed === undefined || isOld(path, changed)) {
    watched.delete(path);
    return "silent";
  }
  const now = performance.now();
  const isSame = before?.changed === changed;
  if (before && isSame && (before.sign === "silent" || now - before.looked <= FRESH_MS)) {
    const sign = now - before.since > FRESH_MS ? "silent" : before.sign;
    watched.set(path, { ...before, looked: now, sign });
    return sign;
  }
  const isWatched = before !== undefined && now - before.looked <= FRESH_MS;
  const sign = isWatched ? "alive" : "undecided";
  if (watched.size > MOST_WATCHED) watched.clear();
  watched.set(path, { changed, since: now, looked: now, sign });
  return sign;
}

/** By the file system's own clock, where it can be asked. */
function isOld(path: string, changed: number): boolean {
  const now = timeBeside(path);
  return now !== undefined && Math.abs(now - changed) > FRESH_MS;
}

/**
 * Whether a process lives, by what the system says of it where it can be seen, and otherwise also by the signs of life
 * in a file that it holds. Takes until the file has not changed for five seconds, or does.
 */
export async function livenessBySign(other: ProcessIdentity, path: string): Promise<Liveness> {
  const life = livenessOf(other);
  if (isSeen(other, life)) return life;
  for (;;) {
    const sign = lookForSign(path);
    if (sign !== "undecided") return sign === "alive" ? "alive" : life;
    await sleep(LOOK_MS);
  }
}

/** The same at once: what has not been watched for long enough counts as alive. */
export function livenessAtOnce(other: ProcessIdentity, path: string): Liveness {
  const life = livenessOf(other);
  return isSeen(other, life) || lookForSign(path) === "silent" ? life : "alive";
}

/** Milliseconds since 1970; undefined where there is no such file. Opened, since a network drive then looks anew. */
function timeOfChange(path: string): number | undefined {
  try {
    const file = openSync(path, "r");
    try {
      return fstatSync(file).mtimeMs;
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined; // gone, or none that we may read: it shows nothing
  }
}

/** The file system's time now; undefined where nothing can be written. */
function timeBeside(path: string): number | undefined {
  const temporary = join(dirname(path), `.${randomUUID()}.tmp`);
  try {
    const file = openSync(temporary, "wx");
    try {
      return fstatSync(file).mtimeMs;
    } finally {
      closeSync(file);
      unlinkSync(temporary);
    }
  } catch {
    return undefined; // then watching alone tells
  }
}
