import { spawnSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";

const AT_ONCE = 16;

/** Puts every file and directory of a tree on the disk, as a careful copier has to. */
export async function syncTree(root: string): Promise<void> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const paths = [root, ...entries.map((entry) => join(entry.parentPath, entry.name))];
  for (let start = 0; start < paths.length; start += AT_ONCE) {
    await Promise.all(paths.slice(start, start + AT_ONCE).map(sync));
  }
}

async function sync(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

export function bytesBelow(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}

/** Writes out what others left unwritten, so that it is not charged to whoever syncs next. */
export function settleDisk(path: string): void {
  spawnSync("sync", ["-f", path]);
}
