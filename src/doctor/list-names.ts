import { readdir } from "node:fs/promises";
import { isMissing, toIoError } from "../fs/io.ts";

/** The names in a directory; none where it is missing. */
export async function listNames(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw toIoError(error, "list", directory);
  }
}
