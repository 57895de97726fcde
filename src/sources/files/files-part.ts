import { PathsSeen } from "../../engine/format/check-paths.ts";
import type { EntryAttributes, JsonObject, PartContent, StoredPart } from "../../engine/snapshot.ts";
import type { SourceDetails } from "../../engine/source-contract.ts";
import type { LeftOutOfPart } from "../../engine/source-kind.ts";
import { CorruptError } from "../../errors.ts";
import { Fields } from "../../fs/fields.ts";
import { isObject } from "../../fs/record.ts";
import { pathBytes, unescapeText } from "./file-names.ts";

// Files as a part of a snapshot (docs/formats.md, *Files as a part*).

/** As many are named. */
const MOST_NAMED = 1000;

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

export interface FilesAbout {
  readonly files: number;
  readonly directories: number;
  readonly links: number;
  readonly root: EntryAttributes;
  /** Why extended attributes are not in the snapshot, or not all. */
  readonly xattrsUnread?: string | undefined;
  readonly leftOut: readonly LeftOutOfPart[];
  /** Paths. */
  readonly changed: ReadonlySet<string>;
}

export function writeDetails({
  files,
  directories,
  links,
  root,
  xattrsUnread,
  leftOut,
  changed,
}: FilesAbout): SourceDetails {
  const named = leftOut.slice(0, MOST_NAMED).map(({ table: path, why, what }) => ({ path, why, what }));
  return {
    about: {
      ...{ files, directories, links },
      ...(leftOut.length > 0 && { leftOut: leftOut.length }),
      ...(changed.size > 0 && { changed: changed.size }),
    },
    details: {
      root: root as JsonObject,
      ...(xattrsUnread !== undefined && { xattrsUnread }),
      ...(named.length > 0 && { leftOut: named }),
      ...(changed.size > 0 && { changed: [...changed].slice(0, MOST_NAMED) }),
    },
  };
}

/** @throws CorruptError naming `place` */
export function assertFilesAbout({ about }: StoredPart, place: string): void {
  const fields = new Fields(about, place, "about");
  for (const key of ["files", "directories", "links"]) fields.count(key);
  for (const key of ["leftOut", "changed"]) fields.optionalCount(key);
}

/** @throws CorruptError naming `place` */
export function assertFilesPart(part: PartContent, place: string): void {
  const fields = new Fields(part.details, place, "details");
  assertXattrs(fields.record("root")["xattrs"] ?? {}, place, "the root");
  fields.optionalText("xattrsUnread");
  fields.optionalTexts("changed");
  leftOutOf(part, place);
  const seen = new PathsSeen();
  for (const { path, size, attributes } of part.entries) {
    seen.add({ path: keyOf(path, place), isDirectory: attributes?.directory });
    if (attributes?.xattrs) assertXattrs(attributes.xattrs, place, path);
    if (attributes?.link === undefined) continue;
    unescapeText(attributes.link, place);
    if (size > 0 || attributes.directory)
      throw corrupt(place, `${path} is a symbolic link and something else`);
  }
  if (seen.mayClash()) assertKeysApart(part, place);
}

function assertXattrs(xattrs: unknown, place: string, path: string): void {
  const list = isObject(xattrs) ? Object.entries(xattrs) : [["", undefined] as const];
  for (const [name, value] of list) {
    const isName = name !== "" && !unescapeText(name, place).includes(0);
    if (!isName || typeof value !== "string" || !BASE64.test(value))
      throw corrupt(place, `${path} has an extended attribute that is none`);
  }
}

function keyOf(path: string, place: string): string {
  return pathBytes(path, place).toString("latin1");
}

/** Paths that differ may be the same bytes. */
function assertKeysApart(part: PartContent, place: string): void {
  const directories = new Map<string, boolean>();
  for (const { path, attributes } of part.entries) {
    const key = keyOf(path, place);
    if (directories.has(key)) throw corrupt(place, `it has two entries for ${path}`);
    directories.set(key, attributes?.directory === true);
  }
  for (const key of directories.keys()) {
    for (let end = key.lastIndexOf("/"); end > 0; end = key.lastIndexOf("/", end - 1)) {
      const above = directories.get(key.slice(0, end));
      if (above === false) throw corrupt(place, "it has an entry below something that is not a directory");
      if (above) break; // looked at itself
    }
  }
}

export function leftOutOf(part: PartContent, place = part.source.uri): LeftOutOfPart[] {
  const fields = new Fields(part.details, place, "details");
  return (fields.optionalObjects("leftOut") ?? []).map((one) => ({
    table: one.text("path"),
    why: one.oneOf("why", ["excluded", "unsupported"]),
    what: one.text("what"),
  }));
}

function corrupt(place: string, why: string): CorruptError {
  return new CorruptError(`The snapshot document ${place} is damaged: ${why}.`, { path: place });
}
