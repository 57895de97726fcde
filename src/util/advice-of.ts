import { isBackupError } from "../errors.ts";
import type { Advice } from "../hint.ts";
import { reasonOf } from "../thrown.ts";

/** What a thrown value says, and its hints, to be part of another message. */
export function adviceOf(error: unknown): Advice {
  return { text: reasonOf(error), hints: (isBackupError(error) && error.hints) || [] };
}
