import { createRequire } from "node:module";
import type * as ApacheArrow from "apache-arrow";

const fromHere = createRequire(import.meta.url);

/**
 * The very copy of apache-arrow that LanceDB uses. An ES module's own import is another copy (`.mjs`
 * beside `.js`), and apache-arrow tells its types apart by `instanceof`: LanceDB then rebuilds every
 * batch from the other copy, and refuses its large strings and large binaries.
 */
export const arrow: typeof ApacheArrow = requireArrow();

/** Where the application alone has LanceDB, apache-arrow is looked for beside this package. */
function requireArrow(): typeof ApacheArrow {
  let besides: NodeJS.Require;
  try {
    besides = createRequire(fromHere.resolve("@lancedb/lancedb"));
  } catch {
    besides = fromHere;
  }
  try {
    return besides("apache-arrow");
  } catch (cause) {
    throw new Error(
      "Cannot find package 'apache-arrow', by which LanceDB hands over rows: npm install @lancedb/lancedb apache-arrow.",
      { cause },
    );
  }
}
