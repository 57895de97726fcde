import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { syncDirectory, syncFile } from "../../fs/durable.ts";
import { takeOwnerBelow } from "../../fs/take-owner.ts";
import { Landing, type LandingPlace } from "../../lance/landing.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import type { Target } from "./target.ts";

const AT_ONCE = 16;

/**
 * Makes a database whole or not at all: `fill` writes into a directory beside it, which is synced and gets
 * its name when `fill` is done. A failure leaves nothing, and what a killed one left is swept by the next.
 *
 * @param place as `lookAtTarget` found it.
 */
export async function makeDatabase<T>(
  lancedb: LanceDB,
  place: LandingPlace,
  fill: (target: Target) => Promise<T>,
): Promise<T> {
  await lancedb.assertOneArrow();
  const landing = await Landing.open(place, "periodic");
  try {
    const { directory } = landing;
    const db = await lancedb.connect(directory);
    let result: T;
    try {
      result = await fill({ lancedb, db, path: directory });
    } finally {
      db.close();
    }
    takeOwnerBelow(directory);
    await syncTree(directory);
    await landing.finish();
    return result;
  } catch (error) {
    await landing.abandon();
    throw error;
  }
}

async function syncTree(root: string): Promise<void> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile() || entry.isDirectory());
  const all = paths.map((entry) => ({ path: join(entry.parentPath, entry.name), isFile: entry.isFile() }));
  for (let at = 0; at < all.length; at += AT_ONCE) {
    const some = all.slice(at, at + AT_ONCE);
    await Promise.all(some.map(({ path, isFile }) => (isFile ? syncFile(path) : syncDirectory(path))));
  }
  await syncDirectory(root);
}
