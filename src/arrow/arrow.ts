import type * as ApacheArrow from "apache-arrow";
import { requireFrom, requireHere, resolveHere } from "../require-here.ts";

/**
 * The very copy of apache-arrow that LanceDB uses. An ES module's own import is another copy (`.mjs`
 * beside `.js`), and apache-arrow tells its types apart by `instanceof`: LanceDB then rebuilds every
 * batch from the other copy, and refuses its large strings and large binaries. It is loaded when something of it is
 * first asked for: much of what imports this module does without.
 */
export const arrow: typeof ApacheArrow = new Proxy({} as typeof ApacheArrow, {
  get(_target, name: keyof typeof ApacheArrow) {
    loaded ??= requireArrow();
    return loaded[name];
  },
});

let loaded: typeof ApacheArrow | undefined;

const MISSING =
  "Cannot find package 'apache-arrow', which LanceDB needs to pass rows: npm install @lancedb/lancedb apache-arrow@18.1.0.";

/** Where the application alone has LanceDB, apache-arrow is looked for beside this package. */
function requireArrow(): typeof ApacheArrow {
  const lancedb = resolveHere("@lancedb/lancedb");
  try {
    if (lancedb !== undefined) return requireFrom(lancedb)("apache-arrow");
  } catch (cause) {
    throw new Error(MISSING, { cause });
  }
  const found = requireHere<typeof ApacheArrow>("apache-arrow");
  if (found === undefined) throw new Error(MISSING);
  return found;
}
