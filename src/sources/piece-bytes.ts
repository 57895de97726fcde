import type { PartContent } from "../engine/snapshot.ts";

/**
 * A database is cut into some 1,000 to 2,000 pieces, so that a hundredth of it that changes in one place costs little more than that
 * (docs/sqlite.md and docs/postgresql.md have figures), and no fewer bytes a piece than are worth an object: a small one
 * into fewer.
 */
const MOST_PIECES = 2048;
const [LEAST_PIECE, LARGEST_PIECE] = [8 << 10, 1 << 20];
/** Of a file of pages, where each table and index has some that change with any row. */
export const PAGE_BYTES = 4 << 10;

/**
 * A power of 2. It doubles where the database has doubled: then all of it is new once.
 *
 * @param previous what was chosen the last time stays where it is no more than twice what it should be, or half of that.
 */
export function pieceBytes(
  size: number,
  {
    previous,
    least = LEAST_PIECE,
  }: { previous?: Pick<PartContent, "details"> | undefined; least?: number } = {},
): number {
  const before = previous?.details["pieceBytes"];
  const wanted = 2 ** Math.ceil(Math.log2(Math.max(1, size / MOST_PIECES)));
  const chosen = Math.min(LARGEST_PIECE, Math.max(least, wanted));
  return typeof before === "number" && before <= chosen * 2 && before * 2 >= chosen ? before : chosen;
}
