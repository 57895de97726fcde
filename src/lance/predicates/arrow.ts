import { createRequire } from "node:module";
import type * as ApacheArrow from "apache-arrow";

const fromHere = createRequire(import.meta.url);

/**
 * The very copy of apache-arrow that LanceDB uses. An ES module's own import is another copy (`.mjs`
 * beside `.js`), and apache-arrow tells its types apart by `instanceof`: LanceDB then rebuilds every
 * batch from the other copy, and refuses its large strings and large binaries.
 */
export const arrow: typeof ApacheArrow = createRequire(fromHere.resolve("@lancedb/lancedb"))("apache-arrow");
