import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { rename } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { syncDirectories, writeFileDurably } from "./durable.ts";
import { errnoOf, io, isMissing } from "./io.ts";
import { listNames } from "./list-names.ts";
import { Placer } from "./place.ts";

/** Stands beside a directory that was copied, and says where it is still to be removed. */
const MOVING = ".moving";

/**
 * Renames a directory. In a file system of several layers (overlay: the files of a container's image) a directory of a
 * lower layer cannot be renamed: then it is copied, and removed where it was. It has its new name when it is whole there;
 * what others put into the old place meanwhile comes after it. Where a death falls in between, `finishMoves` completes it.
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

/** Completes what a dead process had begun to move into the directories of a room, or into rooms in it. */
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

/** Others may write while it is removed: until nothing is left, the rest is copied too. */
async function removeMoved(from: string, to: string, latest: string): Promise<void> {
  do {
    for (const path of (await copyNew(from, to, latest)).reverse()) rmSync(join(from, path), { force: true });
  } while (!removeEmptyTree(from));
  rmSync(`${to}${MOVING}`);
}

/** Copies what is not there yet; answers with all files of the source, those of `latest` last. */
async function copyNew(from: string, to: string, latest: string): Promise<string[]> {
  const placer = new Placer("copy");
  placer.ensureDirectory(to, to);
  const paths = filesIn(from).sort((a, b) => rank(a, latest) - rank(b, latest));
  for (const path of paths) {
    if (existsSync(join(to, path))) continue;
    try {
      await placer.place(from, to, path);
    } catch (error) {
      if (!isMissing(error)) throw error; // somebody has removed it meanwhile
    }
  }
  await placer.sync();
  return paths;
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
