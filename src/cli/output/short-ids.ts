import { digitsOf } from "../../engine/catalog/resolve.ts";
import type { Terminal } from "./terminal.ts";

/** Below this there is no room for whole ids beside times, names and numbers. */
const NARROW = 100;

/** How ids are shown on a narrow terminal: by their ends, which every command takes, where these are unique. */
export function idsShown(
  terminal: Terminal,
  snapshots: readonly { readonly id: string }[],
): (id: string) => string {
  const digits = snapshots.map(({ id }) => digitsOf(id));
  const isShort = terminal.columns < NARROW && new Set(digits).size === digits.length;
  return isShort ? digitsOf : (id) => id;
}
