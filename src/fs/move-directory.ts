import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync, utimesSync } from "node:fs";
import { rename } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { listNames } from "./directory-tree.ts";
import { syncDirectories, writeFileDurably } from "./durable.ts";
import { errnoOf, io, isMissing } from "./io.ts";
import { Placer } from "./placer.ts";

/** Stands beside a directory that was copied, and says where it is still to be removed. */
const MOVING = ".moving";

/** Bytes up to which files are compared by content; larger ones of Lance have names that never come again. */
const MOST_COMPARED = 64 << 20;

/**
 * Renames a directory. In a file system of several layers (overlay: the files of a container's image) a directory of a
 * lower layer cannot be renamed: then it is copied, and removed where it was. It has its new name when it is whole there;
 * what others put into the old place meanwhile comes after it, but for a table that they make anew: that stays. Where a death falls in between, `finishMoves` ends it.
 * Throws the system's own error; then it is where it was.
 *
 * @param latest the folder whose files name all others: copied last, removed first, so that a reader sees no half.
 */
export async function moveDirectory(from: string, to: string, latest: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (errnoOf(error) !== "EXDEV") throw error;
    await moveByCopies(from, to, latest);
  }
}

async function moveByCopies(from: string, to: string, latest: string): Promise<void> {
  const partial = `${to}.partial`;
  rmSync(partial, { recursive: true, force: true }); // a dead process's, with half a file in it, perhaps
  await copyNew(from, partial, latest);
  await writeFileDurably(`${to}${MOVING}`, JSON.stringify({ from: relative(dirname(to), from), latest }));
  await rename(partial, to);
  await syncDirectories([dirname(to)]);
  try {
    await removeMoved(from, to, latest);
  } catch (error) {
    await copyNew(to, from, latest);
    rmSync(`${to}${MOVING}`);
    rmSync(to, { recursive: true });
    throw error;
  }
}

/** Finishes what a dead process had begun to move into the directories of a room, or into rooms in it. */
export async function finishMoves(room: string): Promise<void> {
  for (const name of listNames(room)) {
    const path = join(room, name);
    const moves = name.endsWith(MOVING) ? [path] : listNames(path).map((inner) => join(path, inner));
    for (const move of moves) if (move.endsWith(MOVING)) await finishMove(move);
  }
}

async function finishMove(marker: string): Promise<void> {
  const to = marker.slice(0, -MOVING.length);
  if (!existsSync(to)) return; // it was not whole yet, and is where it was
  const { from, latest } = JSON.parse(readFileSync(marker, "utf8")) as { from: string; latest: string };
  await io("move aside", to, () => removeMoved(resolve(dirname(to), from), to, latest));
}

/**
 * Others may write while it is removed: until nothing is left, the rest is copied too. Only what was copied is removed: a
 * file that is another one than its copy is of a table that others have made in the old place. That table stays, and gets
 * back what was taken for the old one's.
 */
async function removeMoved(from: string, to: string, latest: string): Promise<void> {
  const late: string[] = [];
  for (;;) {
    const paths = filesIn(from).sort((a, b) => rank(a, latest) - rank(b, latest));
    const isMadeAnew = paths.some((path) => existsSync(join(to, path)) && !isCopy(from, to, path));
    if (!isMadeAnew) for (const path of await copyNew(from, to, latest, paths)) late.push(path);
    for (const path of paths.reverse()) {
      const isTheirs = isMadeAnew && late.includes(path);
      if (!isTheirs && isCopy(from, to, path)) rmSync(join(from, path), { force: true });
    }
    if (isMadeAnew) await copyNew(to, from, latest, late);
    if (isMadeAnew || removeEmptyTree(from)) break;
  }
  rmSync(`${to}${MOVING}`);
}

/** Copies what is not there yet, files of `latest` last; answers with what it has copied. */
async function copyNew(from: string, to: string, latest: string, paths = filesIn(from)): Promise<string[]> {
  const placer = new Placer("copy");
  placer.ensureDirectory(to, to);
  const copied: string[] = [];
  for (const path of [...paths].sort((a, b) => rank(a, latest) - rank(b, latest))) {
    if (existsSync(join(to, path))) continue;
    try {
      const { atime, mtime } = statSync(join(from, path));
      await placer.place(from, to, path);
      setTimes(join(to, path), atime, mtime);
      copied.push(path);
    } catch (error) {
      if (!isMissing(error)) throw error; // somebody has removed it meanwhile
    }
  }
  await placer.sync();
  return copied;
}

/** A copy is known by the time of its source. */
function setTimes(path: string, accessed: Date, modified: Date): void {
  try {
    utimesSync(path, accessed, modified);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return; // a file system that keeps its own: then the content tells
  }
}

/** Whether the file at the new place is a copy of the one that is at the old place now. */
function isCopy(from: string, to: string, path: string): boolean {
  const [source, copy] = [from, to].map((place) => statSync(join(place, path), { throwIfNoEntry: false }));
  if (!source || !copy || source.size !== copy.size) return false;
  if (Math.floor(source.mtimeMs) === Math.floor(copy.mtimeMs)) return true;
  return source.size <= MOST_COMPARED && readFileSync(join(from, path)).equals(readFileSync(join(to, path)));
}

function rank(path: string, latest: string): number {
  return path.startsWith(`${latest}/`) ? 1 : 0;
}

/** None where it is gone. */
function filesIn(directory: string, folder = ""): string[] {
  try {
    return readdirSync(join(directory, folder), { withFileTypes: true }).flatMap((entry) => {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      return entry.isDirectory() ? filesIn(directory, path) : [path];
    });
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** False where there is a file in it. */
function removeEmptyTree(directory: string): boolean {
  try {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      if (!entry.isDirectory() || !removeEmptyTree(join(directory, entry.name))) return false;
    }
    rmdirSync(directory);
    return true;
  } catch (error) {
    if (isMissing(error)) return true;
    if (errnoOf(error) === "ENOTEMPTY") return false;
    throw error;
  }
}
