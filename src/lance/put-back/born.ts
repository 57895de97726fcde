import { statSync } from "node:fs";
import { join } from "node:path";
import { VERSIONS } from "../image.ts";

/**
 * Whether a dataset's directory was made after this time, milliseconds since 1970: then it is not the one that
 * was there, whatever it is called. Where the file system keeps no time of birth, a directory in which
 * something was made since counts as new.
 */
export function isBornAfter(dataset: string, time: number): boolean {
  const stat = statSync(join(dataset, VERSIONS), { throwIfNoEntry: false });
  return stat === undefined || stat.birthtimeMs > time;
}
