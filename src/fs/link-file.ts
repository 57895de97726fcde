import { linkSync, statSync } from "node:fs";
import { NotFoundError, ValidationError } from "../errors.ts";
import { errnoOf, isMissing, toIoError } from "./io.ts";
import { hasNoLinks } from "./name-new.ts";

/** Errors by which a file system says that it links nothing, or not from there to here. */
const CANNOT = ["EROFS"];

/**
 * Gives a file a second name, and answers with its bytes.
 *
 * @throws NotFoundError where there is no such file. @throws ValidationError where the file system makes no such link.
 */
export function linkFile(file: string, name: string): number {
  try {
    linkSync(file, name);
  } catch (error) {
    if (isMissing(error)) throw new NotFoundError(`There is no ${file}.`, { path: file, cause: error });
    if (!hasNoLinks(error) && !CANNOT.includes(errnoOf(error) ?? "")) throw toIoError(error, "link to", name);
    throw new ValidationError(
      `The file system cannot link ${file} to ${name} (${errnoOf(error)}). Restore without link.`,
      { cause: error },
    );
  }
  return statSync(name).size;
}
