import { copyFileSync, cpSync, readdirSync, writeFileSync } from "node:fs";
import { join, parse } from "node:path";

/** What Mac OS keeps of a file on a foreign file system. */
export const APPLE_DOUBLE = Buffer.concat([Buffer.from([0, 5, 0x16, 7, 0, 2, 0, 0]), Buffer.alloc(74)]);

export const CONFLICT = "sync-conflict-20260101-101010-ABCDEFG";

/** `.DS_Store`, `desktop.ini`, `Thumbs.db` in every directory, and `._<name>` beside everything. */
export function addNotes(root: string): void {
  eachDirectory(root, (directory, entries) => {
    for (const name of [".DS_Store", "desktop.ini", "Thumbs.db"]) writeFileSync(join(directory, name), "x");
    for (const { name } of entries) writeFileSync(join(directory, `._${name}`), APPLE_DOUBLE);
  });
}

/** A conflict's copy beside every file whose path `isMeant`, as Syncthing and as Dropbox call it, and by hand. */
export function addCopies(root: string, isMeant: (path: string) => boolean = () => true): void {
  eachDirectory(root, (directory, entries) => {
    for (const entry of entries) {
      const path = join(directory, entry.name);
      if (!entry.isFile() || !isMeant(path)) continue;
      for (const name of copiesOf(entry.name)) copyFileSync(path, join(directory, name));
    }
  });
}

/** Copies of the directories that lie in a directory, with all that is in them. */
export function addCopiesOfDirectories(root: string): void {
  for (const entry of readdirSync(root, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const { name, ext } = parse(entry.name);
    cpSync(join(root, entry.name), join(root, `${name} (conflicted copy)${ext}`), { recursive: true });
  }
}

export function copiesOf(file: string): string[] {
  const { name, ext } = parse(file);
  return [`${name}.${CONFLICT}${ext}`, `${name} (Ann's conflicted copy 2026-01-01)${ext}`, `${name} 2${ext}`];
}

/** Paths of strays below a directory. */
export function straysBelow(root: string): string[] {
  const all = readdirSync(root, { recursive: true }) as string[];
  return all.filter((path) => /(^|\/)(\._|\.DS_Store|desktop\.ini|Thumbs\.db)|conflict| 2(\.|$)/.test(path));
}

function eachDirectory(
  directory: string,
  task: (directory: string, entries: ReturnType<typeof entriesOf>) => void,
): void {
  const entries = entriesOf(directory);
  for (const entry of entries) if (entry.isDirectory()) eachDirectory(join(directory, entry.name), task);
  task(directory, entries);
}

function entriesOf(directory: string) {
  return readdirSync(directory, { withFileTypes: true });
}
