import { IoError } from "../../errors.ts";
import { freeSpaceAt } from "../../fs/directory-tree.ts";

/** @throws IoError (`ENOSPC`) naming both numbers. */
export function assertSpace(
  near: string,
  tables: readonly { readonly files: readonly { readonly size: number }[] }[],
) {
  const { blocks, blockSize } = freeSpaceAt(near);
  let needed = 0n;
  for (const { files } of tables) {
    for (const { size } of files) needed += (BigInt(size) + blockSize - 1n) / blockSize;
  }
  if (needed <= blocks) return;
  throw new IoError(
    `There is not enough space at ${near}: the restore needs ${needed * blockSize} bytes, and ${blocks * blockSize} are free (ENOSPC). Nothing was written.`,
    { path: near, errno: "ENOSPC" },
  );
}
