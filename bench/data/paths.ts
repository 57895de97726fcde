import { dirname, join } from "node:path";

const root = dirname(dirname(import.meta.dirname));

/** Ignored by git; what lies in it is made again when it is missing. */
export const cache = join(root, ".cache", "bench");
export const winkCache = join(root, ".cache", "wink");
export const resultsFile = join(root, "bench", "results.json");
