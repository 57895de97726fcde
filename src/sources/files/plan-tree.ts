import { lstatSync, type Stats, statSync } from "node:fs";
import { assertSpace } from "../../engine/restore/assert-space.ts";
import type { StoredEntry } from "../../engine/snapshot.ts";
import type { PartToRestore } from "../../engine/source-kind.ts";
import { ValidationError } from "../../errors.ts";
import { isMissing, toIoError } from "../../fs/io.ts";
import { localPath } from "../../fs/local-path.ts";
import { type LandingPlace, lookAtTarget } from "../../lance/landing.ts";
import { placeBelow, shownName, unescapePath } from "./file-names.ts";
import { assertFilesPart } from "./files-part.ts";

/** What a restore will do; made without writing anything. */
export interface TreePlan {
  /** Those above others first. */
  readonly directories: readonly StoredEntry[];
  readonly files: readonly StoredEntry[];
  readonly links: readonly StoredEntry[];
  readonly bytes: number;
  /** Undefined: into `target`, which is there. */
  readonly place: LandingPlace | undefined;
  readonly target: string;
}

/**
 * @throws ValidationError where a path is in the snapshot nowhere, or the target cannot take what is restored.
 * @throws IoError (`ENOSPC`), CorruptError
 */
export function planTree({
  part,
  target,
  paths,
  mode = "new",
}: Omit<PartToRestore, "read" | "readAll" | "snapshot">): TreePlan {
  assertFilesPart(part, part.source.uri);
  const path = localPath(target, "target");
  const entries = choose(part.entries, part.source.uri, paths);
  const {
    directories = [],
    links = [],
    files = [],
  } = Object.groupBy(entries, ({ attributes }) =>
    attributes?.directory ? "directories" : attributes?.link !== undefined ? "links" : "files",
  );
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const sizes = [{ files }];
  const plan = { directories, links, files, bytes };
  if (mode === "new") {
    const place = lookAtTarget(path);
    assertSpace(place.near, sizes);
    return { ...plan, place, target: place.path };
  }
  assertThere(path);
  assertSpace(path, sizes);
  for (const entry of entries) assertTakes(path, entry);
  return { ...plan, place: undefined, target: path };
}

function choose(
  entries: readonly StoredEntry[],
  place: string,
  paths: readonly string[] | undefined,
): readonly StoredEntry[] {
  if (paths === undefined) return entries;
  if (!Array.isArray(paths) || paths.some((path) => typeof path !== "string"))
    throw new TypeError("paths must be a list of paths.");
  if (paths.length === 0) throw new ValidationError("paths is empty: name one at least, or leave it out.");
  const wanted = paths.map((path) => ({
    path,
    text: path.replace(/^\.\//, "").replace(/\/+$/, ""),
    isFound: false,
  }));
  const chosen = new Set<string>(); // paths: of a long list each entry is made anew when it is asked for
  for (const entry of entries) {
    const names = [entry.path, unescapePath(entry.path, place).toString()];
    for (const one of wanted) {
      if (!names.some((name) => name === one.text || name.startsWith(`${one.text}/`))) continue;
      one.isFound = true;
      chosen.add(entry.path);
    }
  }
  const missing = wanted.find(({ isFound }) => !isFound);
  if (missing)
    throw new ValidationError(
      `The snapshot has no ${JSON.stringify(missing.path)}: paths are relative to ${place}.`,
    );
  const above = new Set([...chosen].flatMap(parentsOf));
  return entries.filter(({ path }) => chosen.has(path) || above.has(path));
}

function parentsOf(path: string): string[] {
  const parents: string[] = [];
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1))
    parents.push(path.slice(0, end));
  return parents;
}

function assertThere(path: string): void {
  try {
    if (statSync(path).isDirectory()) return;
  } catch (error) {
    if (!isMissing(error)) throw toIoError(error, "read", path);
  }
  throw new ValidationError(`There is no directory ${path} to restore into in place.`);
}

/** A directory stays one, and what is none does not become one; nothing is written through a link. */
function assertTakes(target: string, { path, attributes }: StoredEntry): void {
  const place = placeBelow(target, path);
  const there = lookAt(place);
  if (!there) return;
  const isDirectory = attributes?.directory === true;
  if (there.isDirectory() === isDirectory) return;
  const what = there.isDirectory()
    ? "a directory"
    : there.isSymbolicLink()
      ? "a symbolic link"
      : "no directory";
  throw new ValidationError(
    `${shownName(place)} is ${what}, and in the snapshot it is ${isDirectory ? "a directory" : "not a directory"}. Move it away, or restore elsewhere.`,
  );
}

/** Undefined where there is nothing. */
export function lookAt(place: string | Buffer): Stats | undefined {
  try {
    return lstatSync(place, { throwIfNoEntry: false });
  } catch (error) {
    if (isMissing(error)) return undefined; // below what is no directory, which is told of that
    throw toIoError(error, "read", shownName(place));
  }
}
