import { statfsSync } from "node:fs";
import { IoError } from "../../errors.ts";

/** @throws IoError (`ENOSPC`) naming both numbers. */
export function assertSpace(
  near: string,
  tables: readonly { readonly files: readonly { readonly size: number }[] }[],
) {
  const { bavail, bsize } = statfsSync(near, { bigint: true });
  let needed = 0n;
  for (const { files } of tables) {
    for (const { size } of files) needed += (BigInt(size) + bsize - 1n) / bsize;
  }
  if (needed <= bavail) return;
  throw new IoError(
    `There is no room at ${near}: the restore needs ${needed * bsize} bytes, and ${bavail * bsize} are free (ENOSPC). Nothing was written.`,
    { path: near, errno: "ENOSPC" },
  );
}
