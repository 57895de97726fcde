import { link } from "node:fs/promises";
import { errnoOf } from "./io.ts";
import { nameByClaim } from "./name-by-claim.ts";

/** Errors by which a file system says that it has no hard links. */
const NO_LINKS = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"]);

/** Gives a finished file its name, unless that is taken: then `false`. A link never replaces a file. */
export async function nameNew(temporary: string, path: string, signal?: AbortSignal): Promise<boolean> {
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EEXIST") return false;
    if (!errno || !NO_LINKS.has(errno)) throw error;
  }
  return nameByClaim(temporary, path, signal);
}
