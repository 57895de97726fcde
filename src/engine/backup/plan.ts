import type { SnapshotContent } from "../snapshot.ts";
import type { CapturedFile, CapturedTable, KnownTable } from "../source.ts";

/** What a backup will do: files whose content is known from the snapshot before, and files to be read. */
export interface BackupPlan {
  /** Digests of known files, each once, with their sizes. */
  readonly known: ReadonlyMap<string, number>;
  readonly toRead: readonly CapturedFile[];
  readonly bytesToRead: number;
  /** The digest of each known file. */
  digestOf(file: CapturedFile): string | undefined;
}

/**
 * A file is known where the snapshot before, of the same source, has its path with the same size, inode and time of
 * modification. Reads nothing.
 *
 * @param distrusted digests that are not to be counted on: their blobs have turned out to be missing.
 */
export function planBackup(
  tables: readonly CapturedTable[],
  previous: SnapshotContent | undefined,
  distrusted: ReadonlySet<string> = new Set(),
): BackupPlan {
  const known = new Map<string, number>();
  const digests = new Map<CapturedFile, string>();
  const toRead: CapturedFile[] = [];
  let bytesToRead = 0;
  for (const table of tables) {
    const before = new Map(previous?.files.get(table.directory)?.map((file) => [file.path, file]));
    for (const file of table.files) {
      const old = before.get(file.path);
      const same = old?.size === file.size && old.inode === file.inode && old.mtimeMs === file.mtimeMs;
      if (old && same && !distrusted.has(old.sha256)) {
        known.set(old.sha256, old.size);
        digests.set(file, old.sha256);
      } else {
        toRead.push(file);
        bytesToRead += file.size;
      }
    }
  }
  return { known, toRead, bytesToRead, digestOf: (file) => digests.get(file) };
}

/** What a snapshot knows of its tables, in the words of a source. */
export function knownTables({ snapshot, files }: SnapshotContent): Map<string, KnownTable> {
  return new Map(
    snapshot.tables.map((table) => [
      table.directory,
      {
        id: table.id,
        directory: table.directory,
        version: table.version,
        digest: table.digest,
        versions: table.versions.map(({ version, createdAt, rows }) => ({
          version,
          timestamp: createdAt?.getTime() ?? Number.NaN,
          rows,
        })),
        files: files.get(table.directory) ?? [],
        tags: table.tags,
        leftOut: table.leftOut,
      },
    ]),
  );
}
