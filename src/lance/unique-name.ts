/** Of these names no two files are ever made: they hold a random id. */
const UNIQUE = ["data/", "_deletions/", "_indices/"];

/** Whether a file of a dataset, by its path in it, is the only one that ever has the name. */
export function hasUniqueName(path: string): boolean {
  return UNIQUE.some((room) => path.startsWith(room));
}
