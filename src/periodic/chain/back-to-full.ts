import { CorruptError } from "../../errors.ts";
import { type BackupFileName, parseFileName } from "./file-name.ts";
import type { Heads } from "./heads.ts";

/**
 * The files that lead to one, newest first: itself, what it follows, and so on to the full. They are found by
 * what each says of itself; rows are not read.
 *
 * @throws CorruptError, IoError where one is missing, cannot be read, or is not the one that the next follows.
 */
export async function backToFull(
  newest: BackupFileName,
  files: readonly BackupFileName[],
  heads: Heads,
): Promise<BackupFileName[]> {
  const names = new Set(files.map((file) => file.name));
  const chain = [newest];
  let { head } = await heads.read(newest.name);
  for (let last = newest; head.follows !== undefined; ) {
    const { file: name, sha256 } = head.follows;
    const before = parseFileName(name);
    if (before === undefined || before.micros >= last.micros || !names.has(name)) {
      throw new CorruptError(`${last.name} follows ${name}, which is not there before it.`);
    }
    const known = await heads.read(name);
    if (known.sha256 !== sha256) {
      throw new CorruptError(`${last.name} follows another file of the name ${name} than is there.`);
    }
    chain.push(before);
    head = known.head;
    last = before;
  }
  if (head.type === "full") return chain;
  throw new CorruptError(`${chain.at(-1)?.name} is a delta, and follows nothing.`);
}
