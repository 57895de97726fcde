import { statfsSync } from "node:fs";
import { toIoError } from "./io.ts";

export interface FreeSpace {
  /** Blocks that who asks may use. */
  readonly blocks: bigint;
  /** Bytes. */
  readonly blockSize: bigint;
}

/** Of the file system that a path lies on. @throws IoError */
export function freeSpaceAt(path: string): FreeSpace {
  try {
    const { bavail, bsize } = statfsSync(path, { bigint: true });
    return { blocks: bavail, blockSize: bsize };
  } catch (error) {
    throw toIoError(error, "look at the space of", path);
  }
}
