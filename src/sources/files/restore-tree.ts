import { mkdirSync } from "node:fs";
import type { EntryAttributes, StoredEntry } from "../../engine/snapshot.ts";
import type { PartToRestore, RestoredPart } from "../../engine/source-kind.ts";
import { ValidationError } from "../../errors.ts";
import { syncTogether } from "../../fs/durable.ts";
import { toIoError } from "../../fs/io.ts";
import { takeOwner } from "../../fs/take-owner.ts";
import { Landing } from "../../lance/landing.ts";
import { type FileName, joinName, shownName, unescapePath } from "./file-names.ts";
import { applyAttributes, Owners, sweepHalves, writeFile, writeLink, writeSymlink } from "./place-file.ts";
import { lookAt, planTree, type TreePlan } from "./plan-tree.ts";

/**
 * Restores files: into a new directory, which appears whole or not at all, or in place, each file by a rename. Every one is compared with its digest
 * before it gets its name. Nothing is written through a symbolic link.
 */
export async function restoreTree(request: PartToRestore): Promise<RestoredPart> {
  const plan = planTree(request);
  const owners = new Owners(request.options?.owner === true);
  if (!plan.place) {
    await new TreeWriter(request, plan, plan.target, owners).write();
    return reportOf(plan, owners);
  }
  const landing = await Landing.open(plan.place, request.snapshot);
  try {
    await new TreeWriter(request, plan, landing.directory, owners).write();
    request.signal?.throwIfAborted();
    await landing.finish();
    // Not before: a directory that cannot be written to cannot be moved either.
    if (plan.place.mode === undefined && !request.paths)
      applyAttributes(plan.target, rootOf(request), owners);
  } catch (error) {
    await landing.abandon();
    throw error;
  }
  return reportOf(plan, owners);
}

/** Writes a part's tree into a directory that is empty. */
export async function writeTree(request: PartToRestore): Promise<TreePlan> {
  const plan = planTree(request);
  await new TreeWriter(request, plan, plan.target, new Owners(false)).write();
  return plan;
}

function rootOf({ part }: PartToRestore): EntryAttributes {
  return part.details["root"] as EntryAttributes;
}

function reportOf({ directories, files, links, bytes }: TreePlan, owners: Owners): RestoredPart {
  const leftOut = owners.refused === 0 ? [] : [{ table: "owners", what: owners.inWords() }];
  return { files: directories.length + files.length + links.length, bytes, leftOut };
}

class TreeWriter {
  readonly #request: PartToRestore;
  readonly #plan: TreePlan;
  readonly #root: string;
  readonly #owners: Owners;
  readonly #isInPlace: boolean;
  /** Of directories that are looked at or made in this run: no link is among them. */
  readonly #entered = new Set<string>();
  /** Of those whose path is no text. */
  readonly #enteredBytes = new Set<string>();
  /** To be put on the disk. */
  readonly #written: string[] = [];

  constructor(request: PartToRestore, plan: TreePlan, root: string, owners: Owners) {
    this.#request = request;
    this.#plan = plan;
    this.#root = root;
    this.#owners = owners;
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
    for (const { path } of directories) this.#enter(this.#innerPath(path));
    await this.#writeFiles();
    for (const { path, attributes = {} } of links) {
      writeSymlink(this.#enterAbove(path), attributes, this.#owners, this.#isInPlace);
    }
    // Last, the innermost first: what is made in a directory moves its time, and may need to be written to.
    for (const { path, attributes = {} } of directories.toReversed()) {
      applyAttributes(joinName(this.#root, this.#innerPath(path)), attributes, this.#owners);
    }
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
      await writeFile(place, entry, content, { owners: this.#owners, isInPlace: this.#isInPlace, signal });
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
    await writeFile(to, entry, this.#request.read(entry), {
      owners: this.#owners,
      isInPlace: this.#isInPlace,
      signal: this.#request.signal,
    });
  }

  /** Makes a directory and those above it, where they are missing; one that is a link is refused. */
  #enter(path: FileName): void {
    // What is text and what is none have no name in common.
    const key = typeof path === "string" ? path : path.toString("latin1");
    const entered = typeof path === "string" ? this.#entered : this.#enteredBytes;
    if (path.length === 0 || entered.has(key)) return;
    this.#enter(parentOf(path));
    const place = joinName(this.#root, path);
    const there = this.#isInPlace ? lookAt(place) : undefined;
    if (there && !there.isDirectory()) {
      throw new ValidationError(`${shownName(place)} is no directory by now: nothing is written through it.`);
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
    entered.add(key);
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
