import { CorruptError } from "../../errors.ts";
import { assertInnerPath } from "../../fs/names.ts";

/**
 * Holds the paths of one directory to what every file system can hold apart: inside of it, none twice, none that
 * differs from another by the case of letters alone, none that is the directory of another.
 *
 * @throws CorruptError naming `place` and the path.
 */
export function assertPathsApart(paths: Iterable<string>, place: string): void {
  const files = new Set<string>();
  const directories = new Map<string, string>();
  const clash = (path: string): never => {
    throw new CorruptError(
      `${place} names a path that clashes with another in it: ${JSON.stringify(path)}.`,
      { path: place },
    );
  };
  for (const path of paths) {
    assertInnerPath(path, place);
    const folded = fold(path);
    if (files.has(folded)) clash(path);
    files.add(folded);
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      const directory = path.slice(0, end);
      const known = directories.get(fold(directory));
      if (known === directory) break;
      if (known !== undefined) clash(path);
      directories.set(fold(directory), directory);
    }
  }
  for (const directory of directories.keys()) if (files.has(directory)) clash(directory);
}

function fold(path: string): string {
  return path.normalize("NFC").toLowerCase();
}
