import { errnoOf, reasonOf } from "../io.ts";
import { hashFile } from "./hash-file.ts";

export interface CheckTask {
  /** What the caller calls the file. */
  readonly name: string;
  readonly path: string;
}

export type CheckResult =
  | { readonly ok: true; readonly sha256: string; readonly bytes: number }
  | { readonly ok: false; readonly message: string; readonly code: string | undefined };

/** Hashes a file. One that cannot be read is an answer, so that the others are looked at all the same. */
export function checkTask({ path }: CheckTask): CheckResult {
  try {
    return { ok: true, ...hashFile(path) };
  } catch (error) {
    return {
      ok: false,
      message: reasonOf(error),
      code: errnoOf(error),
    };
  }
}
