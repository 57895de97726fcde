import { statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { CaptureRequest } from "../../engine/source-contract.ts";
import { UnsupportedError } from "../../errors.ts";
import { reasonOf } from "../../fs/io.ts";
import { Placer } from "../../fs/placer.ts";
import { captureTable, TAGS } from "../../lance/capture.ts";
import type { TableLocation } from "../../lance/database.ts";
import { countRows } from "../../lance/door.ts";
import type { HistoryImage } from "../../lance/image.ts";
import { versionOfTag } from "../../lance/tag-file.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import type { CapturedFile, CapturedTable, CapturedVersion } from "./table-capture.ts";

/** Stands for a placer where files are to stay where they are: it only sees whether they are there. */
const inPlace = {
  async place(from: string, _to: string, path: string): Promise<void> {
    statSync(join(from, path));
  },
  async copy(from: string, to: string, path: string): Promise<void> {
    await inPlace.place(from, to, path);
  },
};

/** A link serves for the newest manifest too: these pins are gone before a power cut could matter. */
function linksTo(): Pick<Placer, "place" | "copy"> {
  const placer = new Placer(["hardlink"]);
  const place = placer.place.bind(placer);
  return { place, copy: place };
}

/**
 * Lists what one table is made of and holds it in `pins`; where no links can be made, the files are read from
 * where they are. Undefined where the table is gone.
 */
export async function captureFiles(
  lancedb: LanceDB,
  database: string,
  { id, directory }: TableLocation,
  pins: string | undefined,
  request: CaptureRequest,
): Promise<CapturedTable | undefined> {
  const dataset = join(database, directory);
  const held = pins && join(pins, directory);
  try {
    return await capture(lancedb, id, directory, dataset, held, request);
  } catch (error) {
    if (!held || !(error instanceof UnsupportedError) || !isAboutLinks(error)) throw error;
    return capture(lancedb, id, directory, dataset, undefined, request);
  }
}

/** The placer's refusal has the system's error as its cause; a table's features have none. */
function isAboutLinks(error: UnsupportedError): boolean {
  return error.cause !== undefined;
}

async function capture(
  lancedb: LanceDB,
  id: string,
  directory: string,
  dataset: string,
  held: string | undefined,
  { history = "all", signal, onUnsupported }: CaptureRequest,
): Promise<CapturedTable | undefined> {
  const root = held ?? dataset;
  const paths: string[] = [];
  const seen: { version: number; timestamp: number; rows: number | undefined }[] = [];
  const found = await captureTable(dataset, {
    target: root,
    placer: held ? linksTo() : inPlace,
    history,
    transactions: false,
    unsupportedVersions: onUnsupported,
    latestAlone: { options: { history: "latest" } },
    signal,
    onFile: (path) => void paths.push(path),
    onVersion: ({ version, parsed, rows }: HistoryImage) =>
      void seen.push({ version, timestamp: parsed.timestamp, rows }),
  });
  if (!found) return undefined;
  const { versions, uncounted } = await withRows(lancedb, root, seen);
  const tags = await sortTags(root, found.tags, new Set(versions.map(({ version }) => version)));
  const dropped = new Set(tags.lost.map(tagPath));
  return {
    id,
    directory,
    version: found.version,
    digest: found.digest,
    versions: versions.sort((a, b) => a.version - b.version),
    files: paths
      .filter((path) => !dropped.has(path))
      .sort()
      .map((path) => look(root, path)),
    tags: tags.kept,
    leftOut: [
      ...found.leftOut,
      ...uncounted,
      ...tags.lost.map((tag) => `tag ${tag}: its version is not backed up`),
    ],
  };
}

/** What old versions do not say of their rows, LanceDB does; where it cannot read them, they count as none. */
async function withRows(
  lancedb: LanceDB,
  dataset: string,
  seen: readonly (Omit<CapturedVersion, "rows"> & { readonly rows: number | undefined })[],
): Promise<{ versions: CapturedVersion[]; uncounted: string[] }> {
  const missing = seen.filter(({ rows }) => rows === undefined).map(({ version }) => version);
  let counts: ReadonlyMap<number, number> = new Map();
  const uncounted: string[] = [];
  if (missing.length > 0) {
    try {
      counts = await countRows(lancedb, dataset, missing);
    } catch (error) {
      uncounted.push(
        `the number of rows, which no manifest says and LanceDB cannot count: ${reasonOf(error)}`,
      );
    }
  }
  const versions = seen.map(({ rows, ...one }) => ({ ...one, rows: rows ?? counts.get(one.version) ?? 0 }));
  return { versions, uncounted };
}

/** A tag without its version would name nothing, or another table's version where it is put back. */
async function sortTags(
  root: string,
  tags: readonly string[],
  versions: ReadonlySet<number>,
): Promise<{ kept: string[]; lost: string[] }> {
  const [kept, lost]: [string[], string[]] = [[], []];
  for (const tag of tags) {
    const version = versionOfTag(await readFile(join(root, tagPath(tag))));
    (versions.has(version) ? kept : lost).push(tag);
  }
  return { kept, lost };
}

function tagPath(tag: string): string {
  return `${TAGS}/${tag}.json`;
}

function look(root: string, path: string): CapturedFile {
  const location = join(root, path);
  const { size, ino, mtimeMs } = statSync(location);
  // Beyond what a double holds (overlay file systems have such), 0: the file is then read each time.
  return { path, location, size, inode: Number.isSafeInteger(ino) ? ino : 0, mtimeMs };
}
