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
    const path = heads.path(last.name);
    if (before === undefined || before.micros >= last.micros || !names.has(name)) {
      throw new CorruptError(
        `${path} follows ${name}, which is not there before it: the chain has a gap. What was backed up before it can be restored with an earlier time.`,
        { path },
      );
    }
    const known = await heads.read(name);
    if (known.sha256 !== sha256) {
      throw new CorruptError(
        `${path} does not follow ${heads.path(name)} as it is there: its checksum is another.`,
        { path },
      );
    }
    chain.push(before);
    head = known.head;
    last = before;
  }
  const first = heads.path(chain.at(-1)?.name ?? newest.name);
  if (head.type === "full") return chain;
  throw new CorruptError(`${first} is a delta, and follows nothing.`, { path: first });
}
