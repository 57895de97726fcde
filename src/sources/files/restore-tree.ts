import { mkdirSync } from "node:fs";
import type { EntryAttributes } from "../../engine/snapshot.ts";
import type { PartToRestore, RestoredPart } from "../../engine/source-kind.ts";
import { ValidationError } from "../../errors.ts";
import { syncTogether } from "../../fs/durable.ts";
import { toIoError } from "../../fs/io.ts";
import { takeOwner } from "../../fs/take-owner.ts";
import { Landing } from "../../lance/landing.ts";
import { joinName, shownName } from "./file-names.ts";
import { applyAttributes, Owners, sweepHalves, writeFile, writeLink, writeSymlink } from "./place-file.ts";
import { lookAt, planTree, type TreeItem, type TreePlan } from "./plan-tree.ts";

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
    for (const { path } of directories) this.#enter(path);
    await this.#writeFiles();
    for (const { path, entry } of links) {
      this.#enter(parentOf(path));
      writeSymlink(this.#placeOf(path), entry.attributes ?? {}, this.#owners, this.#isInPlace);
    }
    // Last, the innermost first: what is made in a directory moves its time, and may need to be written to.
    for (const { path, entry } of directories.toReversed()) {
      applyAttributes(this.#placeOf(path), entry.attributes ?? {}, this.#owners);
    }
    await syncTogether(this.#root, [...this.#written, this.#root]);
  }

  async #writeFiles(): Promise<void> {
    const { files, bytes: totalBytes } = this.#plan;
    const { readAll, onProgress, signal } = this.#request;
    const { first, others } = byFile(files);
    const items = new Map(first.map((item) => [item.entry, item]));
    let [done, bytes] = [0, 0];
    for await (const { entry, content } of readAll(first.map((item) => item.entry))) {
      signal?.throwIfAborted();
      const item = items.get(entry);
      if (!item) continue;
      this.#enter(parentOf(item.path));
      const place = this.#placeOf(item.path);
      await writeFile(place, entry, content, { owners: this.#owners, isInPlace: this.#isInPlace, signal });
      if (!this.#isInPlace && typeof place === "string") this.#written.push(place);
      for (const other of others.get(item) ?? []) await this.#writeOther(item, other);
      done++;
      bytes += entry.size;
      onProgress?.({ phase: "write", files: done, bytes, totalFiles: first.length, totalBytes });
    }
  }

  /** Another name of a file; a file of its own where it cannot be linked. */
  async #writeOther(first: TreeItem, { path, entry }: TreeItem): Promise<void> {
    this.#enter(parentOf(path));
    const [from, to] = [this.#placeOf(first.path), this.#placeOf(path)];
    if (writeLink(from, to, this.#isInPlace)) return;
    await writeFile(to, entry, this.#request.read(entry), {
      owners: this.#owners,
      isInPlace: this.#isInPlace,
      signal: this.#request.signal,
    });
  }

  /** Makes a directory and those above it, where they are missing; one that is a link is refused. */
  #enter(path: Buffer): void {
    const key = path.toString("latin1");
    if (path.length === 0 || this.#entered.has(key)) return;
    this.#enter(parentOf(path));
    const place = this.#placeOf(path);
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
    this.#entered.add(key);
  }

  #placeOf(path: Buffer): string | Buffer {
    const text = path.toString();
    return joinName(this.#root, Buffer.from(text).equals(path) ? text : path);
  }
}

/** Of files with several names the one that is written, and the others. */
function byFile(files: readonly TreeItem[]) {
  const first: TreeItem[] = [];
  const others = new Map<TreeItem, TreeItem[]>();
  const byNumber = new Map<string, TreeItem>();
  for (const item of files) {
    const { attributes: { hardLink } = {}, sha256 } = item.entry;
    const key = `${hardLink} ${sha256}`;
    const known = hardLink === undefined ? undefined : byNumber.get(key);
    if (known) others.set(known, [...(others.get(known) ?? []), item]);
    else {
      first.push(item);
      if (hardLink !== undefined) byNumber.set(key, item);
    }
  }
  return { first, others };
}

function parentOf(path: Buffer): Buffer {
  return path.subarray(0, Math.max(path.lastIndexOf(0x2f), 0));
}
