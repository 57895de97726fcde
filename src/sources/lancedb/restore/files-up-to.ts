import { digestOf } from "../../../engine/blobs/blob-codec.ts";
import { damagedBlob } from "../../../engine/blobs/blob-errors.ts";
import type { BlobStore } from "../../../engine/blobs/blob-store.ts";
import { CorruptError } from "../../../errors.ts";
import { isLeftOut } from "../../../lance/broken-indices.ts";
import { TAGS } from "../../../lance/capture.ts";
import { HistoryFiles, pathsBelow } from "../../../lance/history-files.ts";
import { parseManifestName, VERSIONS } from "../../../lance/manifest.ts";
import type { SnapshotFile, SnapshotTableDetails } from "../snapshot-view.ts";

interface FilesUpTo {
  readonly files: readonly SnapshotFile[];
  /** Of the version's manifest. */
  readonly digest: string;
  readonly leftOut: readonly string[];
}

/** Directories in which each file belongs to versions; elsewhere files belong to the table. */
const OF_VERSIONS = ["data/", "_deletions/", "_indices/", "_transactions/"];

/**
 * Of a table's files those that a version and the ones before it need, and the tags on them. Reads these manifests.
 *
 * @throws CorruptError where one is missing or damaged, or names a file that the snapshot does not have.
 */
export async function filesUpTo(
  blobs: BlobStore,
  table: SnapshotTableDetails,
  all: readonly SnapshotFile[],
  version: number,
): Promise<FilesUpTo> {
  const place = `${blobs.storage.location}, table ${table.id}`;
  const listed = new Set(all.map((file) => file.path));
  const reader = new HistoryFiles(place, pathsBelow(listed));
  const needed = new Set<string>();
  const leftOut: string[] = [];
  let own: string | undefined;
  for (const file of all) {
    const number = manifestVersion(file.path);
    if (number === undefined || number > version) continue;
    const bytes = await readFile(blobs, table.id, file);
    for (const { path, index } of reader.read(bytes, number, file.path).files) {
      if (!listed.has(path) && index && isLeftOut(table.leftOut, index)) continue;
      if (!listed.has(path)) {
        throw new CorruptError(
          `Version ${number} of table ${table.id} needs ${path}, which the snapshot lacks.`,
          {
            path,
          },
        );
      }
      needed.add(path);
    }
    needed.add(file.path);
    if (number === version) own = file.sha256;
  }
  if (own === undefined) {
    throw new CorruptError(`The snapshot lacks the manifest of version ${version} of table ${table.id}.`);
  }
  for (const file of all) {
    if (file.path.startsWith(`${TAGS}/`)) {
      const tagged = taggedVersion(await readFile(blobs, table.id, file));
      if (tagged <= version) needed.add(file.path);
      else leftOut.push(`tag ${file.path.slice(TAGS.length + 1, -".json".length)}, on a later version`);
    } else if (
      !file.path.startsWith(`${VERSIONS}/`) &&
      !OF_VERSIONS.some((room) => file.path.startsWith(room))
    ) {
      needed.add(file.path);
    }
  }
  return { files: all.filter((file) => needed.has(file.path)), digest: own, leftOut };
}

function manifestVersion(path: string): number | undefined {
  return path.startsWith(`${VERSIONS}/`)
    ? parseManifestName(path.slice(VERSIONS.length + 1))?.version
    : undefined;
}

/** A small file, held to its digest. */
async function readFile(blobs: BlobStore, table: string, file: SnapshotFile): Promise<Buffer> {
  const content = await blobs.readWhole({ table, ...file });
  if (content.length === file.size && digestOf(content) === file.sha256) return content;
  throw damagedBlob(blobs.storage, { table, ...file });
}

/** Infinity where it cannot be told: such a tag is of no use. */
function taggedVersion(tag: Buffer): number {
  try {
    const content = JSON.parse(tag.toString("utf8")) as { version?: unknown } | null;
    return typeof content?.version === "number" ? content.version : Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
