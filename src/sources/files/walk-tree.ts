import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats } from "node:fs";
import type { EntryAttributes } from "../../engine/snapshot.ts";
import type { Entry } from "../../engine/source-contract.ts";
import type { LeftOutOfPart } from "../../engine/source-kind.ts";
import { isMissing, isNoLink, isOfSystem, reasonOf, toIoError } from "../../fs/io.ts";
import { counted } from "../../util/format.ts";
import { attributesOf, FileEntry, type FileEvents, LinkedEntry, withAdvice } from "./file-entry.ts";
import { escapeLink, escapeNames, type FileName, joinName, pathBytes, shownName } from "./file-names.ts";
import { IGNORE_FILE, type IgnoreRules } from "./ignore-rules.ts";
import { isHalf } from "./place-file.ts";
import { readXattrs, type TreeXattrs } from "./xattrs.ts";

/** Longer ones no snapshot can name. */
const LONGEST_PATH_BYTES = 4096;
/** Larger ones are no lists of patterns. */
const MOST_IGNORE_BYTES = 1 << 20;
/** So many names are looked at before others have their turn. */
const STRETCH = 512;

export interface WalkOptions {
  /** Undefined: nothing is left out, whatever files of patterns say. */
  readonly rules: IgnoreRules | undefined;
  readonly oneFileSystem: boolean;
  /** Whether to look for extended attributes, which a program does meanwhile. Default false. */
  readonly withXattrs?: boolean | undefined;
  readonly events: FileEvents;
  readonly signal?: AbortSignal | undefined;
}

/** What lies below a directory, as it was when it was looked at. */
export interface Tree {
  readonly entries: readonly Entry[];
  readonly root: EntryAttributes;
  /** Why extended attributes are not there, or not all, where they were looked for. */
  readonly xattrsUnread?: string | undefined;
  readonly files: number;
  readonly directories: number;
  readonly links: number;
  readonly leftOut: readonly LeftOutOfPart[];
}

interface Directory {
  readonly place: FileName;
  /** As an entry; empty for the root. */
  readonly path: string;
  /** As patterns know it. */
  readonly shown: string;
  readonly rules: IgnoreRules | undefined;
}

/** @throws IoError where something cannot be looked at, unless it is to be left out. */
export async function walkTree(root: string, options: WalkOptions): Promise<Tree> {
  const walk = new Walk(root, options);
  if (!options.withXattrs) return walk.run();
  const { oneFileSystem, signal } = options;
  const stop = new AbortController();
  const reading = readXattrs(root, {
    oneFileSystem,
    signal: signal ? AbortSignal.any([signal, stop.signal]) : stop.signal,
  });
  try {
    const tree = await walk.run();
    return withXattrs(tree, await reading);
  } catch (error) {
    stop.abort();
    await reading.catch(() => undefined);
    throw error;
  }
}

function withXattrs(tree: Tree, { byPath, refused, unread }: TreeXattrs): Tree {
  if (byPath.size + refused.size === 0)
    return unread === undefined ? tree : { ...tree, xattrsUnread: unread };
  const lost: string[] = [];
  const reasonOfRoot = refused.get(".");
  if (reasonOfRoot !== undefined) lost.push(`.: ${reasonOfRoot}`);
  const entries = tree.entries.map((entry) => {
    const bytes = pathBytes(entry.path, "the tree");
    const key = bytes.toString("latin1");
    const reason = refused.size === 0 ? undefined : refused.get(bytes.toString());
    if (reason !== undefined) lost.push(`${entry.path}: ${reason}`);
    const xattrs = byPath.get(key);
    if (!xattrs || entry.sameAs) return entry;
    if (!(entry instanceof FileEntry)) return bareEntry(entry.path, { ...entry.attributes, xattrs });
    entry.xattrs = xattrs;
    return entry;
  });
  const ofRoot = byPath.get(".");
  return {
    ...{ ...tree, entries },
    ...(ofRoot && { root: { ...tree.root, xattrs: ofRoot } }),
    xattrsUnread: lost.length > 0 ? `of ${counted(lost.length, "name")}; ${lost[0]}` : unread,
  };
}

class Walk {
  readonly #options: WalkOptions;
  readonly #rootPlace: string;
  readonly #root: Stats;
  readonly #entries: Entry[] = [];
  readonly #leftOut: LeftOutOfPart[] = [];
  readonly #linked = new Map<string, FileEntry>();
  readonly #counts = { files: 0, directories: 0, links: 0 };
  #hardLinks = 0;

  constructor(root: string, options: WalkOptions) {
    this.#options = options;
    this.#rootPlace = root;
    this.#root = lstatSync(root);
  }

  async run(): Promise<Tree> {
    const { rules, signal } = this.#options;
    const waiting: Directory[] = [{ place: this.#rootPlace, path: "", shown: "", rules }];
    let sinceYield = 0;
    for (let directory = waiting.pop(); directory; directory = waiting.pop()) {
      const names = this.#namesIn(directory);
      const below = this.#withRules(directory, names);
      for (const [name, escaped] of escapeNames(names)) {
        const inner = this.#look(below, name, escaped);
        if (inner) waiting.push(inner);
        if (++sinceYield % STRETCH > 0) continue;
        await new Promise((resolve) => setImmediate(resolve));
        signal?.throwIfAborted();
      }
    }
    return {
      entries: this.#entries,
      root: attributesOf(this.#root),
      ...this.#counts,
      leftOut: this.#leftOut,
    };
  }

  #namesIn({ place, path }: Directory): readonly FileName[] {
    try {
      const names = readdirSync(place);
      // A name that is no text has this character for what is none; so has one that is.
      if (!names.some((name) => name.includes("\uFFFD"))) return names;
      return readdirSync(place, { encoding: "buffer" }).map((bytes) => {
        const text = bytes.toString();
        return Buffer.from(text).equals(bytes) ? text : bytes;
      });
    } catch (error) {
      if (isMissing(error) && path !== "") return [];
      this.#unreadable(path, place, error);
      return [];
    }
  }

  /** A directory's own patterns. What is a link, or no file, is none. */
  #withRules(directory: Directory, names: readonly FileName[]): Directory {
    if (!directory.rules || !names.includes(IGNORE_FILE)) return directory;
    const place = joinName(directory.place, IGNORE_FILE);
    const found = this.#stats(directory.path, place);
    if (!found?.isFile() || found.size > MOST_IGNORE_BYTES) return directory;
    try {
      const rules = directory.rules.below(directory.shown, readFileSync(place, "utf8"));
      return { ...directory, rules };
    } catch (error) {
      if (!isOfSystem(error)) throw error;
      throw toIoError(error, "read", shownName(place)); // else what it leaves out would be taken
    }
  }

  #look(directory: Directory, name: FileName, escaped: string): Directory | undefined {
    const place = joinName(directory.place, name);
    const path = directory.path === "" ? escaped : `${directory.path}/${escaped}`;
    const shown = directory.shown === "" ? shownName(name) : `${directory.shown}/${shownName(name)}`;
    const found = this.#stats(path, place);
    // Of a restore in place that is under way, or was killed.
    if (found && isHalf(name, found)) return undefined;
    if (!found || directory.rules?.leavesOut(found.isDirectory() ? `${shown}/` : shown)) return undefined;
    if (path.length * 3 > LONGEST_PATH_BYTES && Buffer.byteLength(path) > LONGEST_PATH_BYTES) {
      this.#leaveOut(path, "unsupported", "its path is too long for a snapshot");
      return undefined;
    }
    if (found.isFile()) this.#addFile(path, found);
    else if (found.isSymbolicLink()) this.#addLink(path, place, found);
    else if (found.isDirectory()) {
      this.#counts.directories++;
      this.#entries.push(bareEntry(path, { ...attributesOf(found), directory: true }));
      const isOther = found.dev !== this.#root.dev;
      if (!isOther || !this.#options.oneFileSystem) return { place, path, shown, rules: directory.rules };
      this.#leaveOut(
        path,
        "excluded",
        "another file system is mounted there, and the directory alone is in the snapshot",
      );
    } else this.#leaveOut(path, "unsupported", `it is ${kindOf(found)}`);
    return undefined;
  }

  #addFile(path: string, found: Stats): void {
    this.#counts.files++;
    const file = found.nlink > 1 ? `${found.dev}:${found.ino}` : undefined;
    const first = file === undefined ? undefined : this.#linked.get(file);
    if (first) {
      first.hardLink ??= ++this.#hardLinks;
      this.#entries.push(new LinkedEntry(path, first));
      return;
    }
    const entry = new FileEntry(path, this.#rootPlace, found, this.#options.events);
    if (file !== undefined) this.#linked.set(file, entry);
    this.#entries.push(entry);
  }

  #addLink(path: string, place: FileName, found: Stats): void {
    try {
      const link = escapeLink(readlinkSync(place, { encoding: "buffer" }));
      this.#entries.push(bareEntry(path, { ...attributesOf(found), link }));
      this.#counts.links++;
    } catch (error) {
      if (!isMissing(error) && !isNoLink(error)) this.#unreadable(path, place, error);
    }
  }

  #stats(path: string, place: FileName): Stats | undefined {
    try {
      return lstatSync(place, { throwIfNoEntry: false });
    } catch (error) {
      if (!isMissing(error)) this.#unreadable(path, place, error);
      return undefined;
    }
  }

  #unreadable(path: string, place: FileName, error: unknown): void {
    const { onUnreadable } = this.#options.events;
    if (!onUnreadable || path === "") throw withAdvice(toIoError(error, "read", shownName(place)));
    onUnreadable(path, error);
  }

  #leaveOut(table: string, why: LeftOutOfPart["why"], what: string): void {
    this.#leftOut.push({ table, why, what });
  }
}

/** One that has no bytes. */
function bareEntry(path: string, attributes: EntryAttributes): Entry {
  return { path, size: 0, attributes, open: () => NOTHING };
}

const NOTHING: AsyncIterable<Uint8Array> = {
  async *[Symbol.asyncIterator]() {
    yield* [];
  },
};

function kindOf(found: Stats): string {
  if (found.isFIFO()) return "a named pipe";
  if (found.isSocket()) return "a socket";
  return found.isBlockDevice() || found.isCharacterDevice() ? "a device" : "no file";
}

export function unreadable(table: string, error: unknown): LeftOutOfPart {
  return { table, why: "unsupported", what: `it cannot be read: ${reasonOf(error)}` };
}
