import { linkSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";

/**
 * A database to work on that costs nothing: hard links, which is sound because Lance never changes a file in
 * place. `newestOnly` leaves out all manifests but the newest, and the transactions, which nothing needs.
 */
export function cloneDatabase(from: string, to: string, options: { newestOnly?: boolean } = {}): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (!entry.isDirectory()) linkSync(source, target);
    else if (!options.newestOnly) cloneDatabase(source, target);
    else if (entry.name === "_versions") linkNewestManifest(source, target);
    else if (entry.name !== "_transactions") cloneDatabase(source, target, options);
  }
}

/** Manifests are named by 2^64 - 1 - version, so the first name is the newest. */
function linkNewestManifest(from: string, to: string): void {
  const newest = readdirSync(from)
    .filter((name) => name.endsWith(".manifest"))
    .sort()[0];
  if (!newest) throw new Error(`${from} holds no manifest`);
  mkdirSync(to, { recursive: true });
  linkSync(join(from, newest), join(to, newest));
}
