import { CorruptError } from "../../errors.ts";
import type { SnapshotContent } from "../snapshot.ts";
import type { CapturedFile, CapturedTable } from "../source.ts";
import type { StoredFile } from "./write-blobs.ts";

/** Lance gives these a name of their own each, and never writes one again. */
const WRITTEN_ONCE = /^(data|_deletions|_indices)\//;

/**
 * Holds files that were read to what the snapshot before says of them: another content under such a name is damage,
 * then or now, and a snapshot of it would pass for a good one.
 *
 * @throws CorruptError naming the file and the snapshot.
 */
export function assertUnchanged(
  tables: readonly CapturedTable[],
  previous: SnapshotContent | undefined,
  stored: ReadonlyMap<CapturedFile, StoredFile>,
): void {
  if (!previous || stored.size === 0) return;
  for (const table of tables) {
    const before = new Map(previous.files.get(table.directory)?.map((file) => [file.path, file]));
    for (const file of table.files) {
      const [then, now] = [before.get(file.path), stored.get(file)];
      if (!then || !now || then.sha256 === now.sha256 || !WRITTEN_ONCE.test(file.path)) continue;
      throw new CorruptError(
        `${table.directory}/${file.path} of table ${table.id} has another content than in snapshot ${previous.snapshot.id}, and Lance never changes a file: it is damaged, or was then. No snapshot was made. Scrub tells, and with heal puts the snapshot's copy back; where it is the snapshot that is wrong, delete it.`,
        { path: file.location },
      );
    }
  }
}
