import { readdirSync } from "node:fs";
import { ifThere } from "./held-root.ts";
import { toIoError } from "./io.ts";

/** The names in a directory; none where it is missing. */
export function listNames(directory: string): string[] {
  try {
    return ifThere(directory, () => readdirSync(directory)) ?? [];
  } catch (error) {
    throw toIoError(error, "list", directory);
  }
}
