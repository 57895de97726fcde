import { link } from "node:fs/promises";
import { errnoOf } from "./io.ts";
import { nameByClaim } from "./name-by-claim.ts";

/** Errors by which a file system, or what guards it (a sandbox, Android), says that it makes no hard link there. */
const NO_LINKS = new Set(["EPERM", "EACCES", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EXDEV", "EMLINK"]);

/** Whether an error says that there are no hard links; where it is about something else, what is tried instead fails too. */
export function hasNoLinks(error: unknown): boolean {
  return NO_LINKS.has(errnoOf(error) ?? "");
}

/** Gives a finished file its name, unless that is taken: then `false`. A link never replaces a file. */
export async function nameNew(temporary: string, path: string, signal?: AbortSignal): Promise<boolean> {
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    if (!hasNoLinks(error)) throw error;
  }
  return nameByClaim(temporary, path, signal);
}
