import { open } from "node:fs/promises";
import { takeMemory } from "../util/spare-memory.ts";

/**
 * A file in blocks of `blockBytes`, the last one of less, each in memory of its own that the caller may keep. It is read to where it
 * ends when it is opened; an empty one is a block without bytes.
 *
 * @throws the system's errors, as they are
 */
export async function* readBlocks(
  path: string,
  { blockBytes, signal }: { readonly blockBytes: number; readonly signal?: AbortSignal | undefined },
): AsyncGenerator<Buffer> {
  const file = await open(path, "r");
  try {
    let { size: left } = await file.stat();
    do {
      const block = takeMemory(Math.min(left, blockBytes));
      let length = 0;
      while (length < block.length) {
        signal?.throwIfAborted();
        const { bytesRead } = await file.read(block, length);
        if (bytesRead === 0) break;
        length += bytesRead;
      }
      left = length < block.length ? 0 : left - length; // it may have been cut meanwhile
      yield block.subarray(0, length);
    } while (left > 0);
  } finally {
    await file.close();
  }
}
