import { basename } from "node:path";
import { CorruptError } from "../errors.ts";

/** The id of the snapshot whose damaged document is what failed; undefined where something else did. */
export function damagedSnapshot(error: unknown): string | undefined {
  if (!(error instanceof CorruptError)) return undefined;
  return /^(\d{8}T\d{6}Z-[0-9a-f]{8})\.json$/.exec(basename(error.path ?? ""))?.[1];
}
