import { readdirSync } from "node:fs";
import { isMissing, toIoError } from "./io.ts";

/** The names in a directory; none where it is missing. */
export function listNames(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw toIoError(error, "list", directory);
  }
}
