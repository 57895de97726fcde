import { lstatSync, mkdirSync, statSync } from "node:fs";
import type { EntryAttributes, StoredEntry } from "../../engine/snapshot.ts";
import type { EntryContent, PartToRestore, RestoredPart } from "../../engine/source-kind.ts";
import { ValidationError } from "../../errors.ts";
import { syncTogether } from "../../fs/durable.ts";
import { toIoError } from "../../fs/io.ts";
import { takeOwner } from "../../fs/take-owner.ts";
import { Landing } from "../../lance/landing.ts";
import { type FileName, joinName, shownName, unescapePath } from "./file-names.ts";
import {
  applyAttributes,
  type Identity,
  narrowToGroup,
  Owners,
  openToOwner,
  type PlaceOptions,
  sweepHalves,
  writeFile,
  writeLink,
  writeSymlink,
} from "./place-file.ts";
import { lookAt, planTree, type TreePlan } from "./plan-tree.ts";
import { XattrWriter } from "./xattrs.ts";

/**
 * Restores files: into a new directory, which appears whole or not at all, or in place, each file by a rename. Every one is compared with its digest
 * before it gets its name. Nothing is written through a symbolic link.
 */
export async function restoreTree(request: PartToRestore): Promise<RestoredPart> {
  const plan = planTree(request);
  const areKept = request.options?.owner === true;
  const given = { owners: new Owners(areKept), xattrs: new XattrWriter(areKept, request.signal) };
  if (!plan.place) {
    await new TreeWriter(request, plan, plan.target, given).write();
    return reportOf(plan, given);
  }
  const landing = await Landing.open(plan.place, request.snapshot);
  try {
    await new TreeWriter(request, plan, landing.directory, given).write();
    const root = plan.place.mode === undefined && !request.paths ? rootOf(request) : undefined;
    const identity = lstatSync(landing.directory);
    if (root && given.xattrs.has(root)) {
      if (areKept) narrowToGroup(landing.directory, identity, root);
      await given.xattrs.give([{ place: landing.directory, attributes: root }]);
    }
    if (root) openToOwner(landing.directory, identity, root, given.owners);
    request.signal?.throwIfAborted();
    await landing.finish();
    // Not before: a directory that cannot be written to cannot be moved either. Nothing is waited for any more.
    if (root) applyAttributes(plan.target, identity, root, given.owners);
  } catch (error) {
    await landing.abandon();
    throw error;
  }
  return reportOf(plan, given);
}

/** Writes a part's tree into a directory that is empty. */
export async function writeTree(
  request: PartToRestore,
): Promise<TreePlan & { readonly xattrs: XattrWriter }> {
  const plan = planTree(request);
  const xattrs = new XattrWriter(false, request.signal);
  await new TreeWriter(request, plan, plan.target, { owners: new Owners(false), xattrs }).write();
  return { ...plan, xattrs };
}

function rootOf({ part }: PartToRestore): EntryAttributes {
  return part.details["root"] as EntryAttributes;
}

function reportOf({ directories, files, links, bytes }: TreePlan, { owners, xattrs }: Given): RestoredPart {
  const refused = xattrs.inWords();
  const leftOut = [
    ...(owners.refused === 0 ? [] : [{ table: "owners", what: owners.inWords() }]),
    ...(refused === undefined ? [] : [{ table: "extended attributes", what: refused }]),
  ];
  return { files: directories.length + files.length + links.length, bytes, leftOut };
}

/** What files are given besides content, mode and times. */
type Given = Pick<PlaceOptions, "owners"> & { readonly xattrs: XattrWriter };

class TreeWriter {
  readonly #request: PartToRestore;
  readonly #plan: TreePlan;
  readonly #root: string;
  readonly #given: Given;
  readonly #isInPlace: boolean;
  /** Of directories that are looked at or made in this run: no link is among them. */
  readonly #entered = new Map<string, Identity>();
  /** Of those whose path is no text. */
  readonly #enteredBytes = new Map<string, Identity>();
  /** Files that have not their extended attributes yet. */
  readonly #unsettled: { place: FileName; attributes: EntryAttributes; settle(): void }[] = [];
  /** To be put on the disk. */
  readonly #written: string[] = [];

  constructor(request: PartToRestore, plan: TreePlan, root: string, given: Given) {
    this.#request = request;
    this.#plan = plan;
    this.#root = root;
    this.#given = given;
    this.#isInPlace = request.mode === "in-place";
  }

  async write(): Promise<void> {
    try {
      await this.#writeAll();
    } catch (error) {
      this.#request.signal?.throwIfAborted();
      throw toIoError(error, "restore to", this.#root);
    }
  }

  async #writeAll(): Promise<void> {
    const { directories, links } = this.#plan;
    if (this.#isInPlace) sweepHalves(this.#root);
    this.#entered.set("", statSync(this.#root));
    const entered = directories.map(({ path, attributes = {} }) => {
      const inner = this.#innerPath(path);
      return { place: joinName(this.#root, inner), identity: this.#enter(inner), attributes };
    });
    await this.#writeFiles();
    for (const { path, attributes = {} } of links) {
      writeSymlink(this.#enterAbove(path), attributes, this.#given.owners, this.#isInPlace);
    }
    const { owners, xattrs } = this.#given;
    for (const { place, identity, attributes } of owners.areKept ? entered : [])
      narrowToGroup(place, identity, attributes);
    await xattrs.give([
      ...this.#unsettled,
      ...links.map(({ path, attributes = {} }) => ({
        ...{ place: joinName(this.#root, this.#innerPath(path)), attributes },
      })),
      ...entered,
    ]);
    for (const { settle } of this.#unsettled) settle();
    // Last, the innermost first: what is made in a directory moves its time, and may need to be written to.
    for (const { place, identity, attributes } of entered.toReversed())
      applyAttributes(place, identity, attributes, owners);
    await syncTogether(this.#root, [...this.#written, this.#root]);
  }

  async #writeFiles(): Promise<void> {
    const { files, bytes: totalBytes } = this.#plan;
    const { readAll, onProgress, signal } = this.#request;
    const { first, others } = byFile(files);
    let [done, bytes] = [0, 0];
    for await (const { entry, content } of readAll(first)) {
      signal?.throwIfAborted();
      const place = this.#enterAbove(entry.path);
      await this.#writeFile(place, entry, content);
      if (!this.#isInPlace && typeof place === "string") this.#written.push(place);
      for (const other of others.get(entry) ?? []) await this.#writeOther(place, other);
      done++;
      bytes += entry.size;
      onProgress?.({ phase: "write", files: done, bytes, totalFiles: first.length, totalBytes });
    }
  }

  /** Another name of a file; a file of its own where it cannot be linked. */
  async #writeOther(from: FileName, entry: StoredEntry): Promise<void> {
    const to = this.#enterAbove(entry.path);
    if (writeLink(from, to, this.#isInPlace)) return;
    await this.#writeFile(to, entry, this.#request.read(entry));
  }

  async #writeFile(place: FileName, entry: StoredEntry, content: EntryContent["content"]): Promise<void> {
    const { signal } = this.#request;
    const settle = await writeFile(place, entry, content, {
      ...this.#given,
      isInPlace: this.#isInPlace,
      signal,
    });
    if (settle) this.#unsettled.push({ place, attributes: entry.attributes ?? {}, settle });
  }

  /** Makes a directory and those above it, where they are missing; one that is a link is refused. */
  #enter(path: FileName): Identity {
    // What is text and what is none have no name in common.
    const key = typeof path === "string" ? path : path.toString("latin1");
    const entered = typeof path === "string" ? this.#entered : this.#enteredBytes;
    const known = entered.get(key);
    if (known) return known;
    this.#enter(parentOf(path));
    const place = joinName(this.#root, path);
    const there = this.#isInPlace ? lookAt(place) : undefined;
    if (there && !there.isDirectory()) {
      throw new ValidationError(`${shownName(place)} is no longer a directory: nothing is written there.`);
    }
    if (!there) {
      try {
        mkdirSync(place, { mode: 0o700 });
      } catch (error) {
        throw toIoError(error, "make directory", shownName(place));
      }
      if (typeof place === "string") takeOwner(place);
    } else sweepHalves(place);
    if (typeof place === "string") this.#written.push(place);
    const { dev, ino } = there ?? lstatSync(place);
    entered.set(key, { dev, ino });
    return { dev, ino };
  }

  /** Where an entry is to lie, with the directory that it lies in. */
  #enterAbove(path: string): FileName {
    const inner = this.#innerPath(path);
    this.#enter(parentOf(inner));
    return joinName(this.#root, inner);
  }

  #innerPath(path: string): FileName {
    return unescapePath(path, this.#request.part.source.uri);
  }
}

/** Of files with several names the one that is written, and the others. */
function byFile(files: readonly StoredEntry[]) {
  const first: StoredEntry[] = [];
  const others = new Map<StoredEntry, StoredEntry[]>();
  const byNumber = new Map<string, StoredEntry>();
  for (const entry of files) {
    const { attributes: { hardLink } = {}, sha256 } = entry;
    const key = hardLink === undefined ? undefined : `${hardLink} ${sha256}`;
    const known = key === undefined ? undefined : byNumber.get(key);
    if (known) others.set(known, [...(others.get(known) ?? []), entry]);
    else {
      first.push(entry);
      if (key !== undefined) byNumber.set(key, entry);
    }
  }
  return { first, others };
}

function parentOf(path: FileName): FileName {
  // A parent of what is no text may be one.
  if (typeof path === "string") return path.slice(0, Math.max(path.lastIndexOf("/"), 0));
  const parent = path.subarray(0, Math.max(path.lastIndexOf(0x2f), 0));
  const text = parent.toString();
  return Buffer.from(text).equals(parent) ? text : parent;
}
