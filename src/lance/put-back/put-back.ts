import { randomUUID } from "node:crypto";
import { existsSync, lstatSync, statSync } from "node:fs";
import { rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CorruptError, LanceError } from "../../errors.ts";
import { syncDirectories } from "../../fs/durable.ts";
import { errnoOf, io } from "../../fs/io.ts";
import { moveDirectory } from "../../fs/move-directory.ts";
import { PIN_ORDER, Placer } from "../../fs/placer.ts";
import { ImageReader, type VersionImage } from "../image.ts";
import { listManifests, type ManifestName, manifestName, manifestPath, VERSIONS } from "../manifest.ts";
import {
  ensurePrivateDirectory,
  makeStagingDirectory,
  removeIfEmpty,
  removeStagingDirectory,
} from "../private-directory.ts";
import type { LanceDB } from "../which-lancedb.ts";
import { commitRestore, type RestoreCommit } from "./commit-restore.ts";
import { type PutBackAction, type PutBackPlan, type PutBackTarget, planPutBack } from "./plan-put-back.ts";
import { digestOfVersion, findManifest, inspectTable } from "./table-state.ts";
import { cleanupMayLastUntil, healUntilQuiet } from "./watch-cleanups.ts";

/** A table that is as it should be. */
export interface PutBackOutcome {
  readonly action: Exclude<PutBackAction, "conflict">;
  /** The table's newest version now. */
  readonly version: number;
  /** The newest version before. */
  readonly before: number;
  /** Foreign versions that are behind the newest now. */
  readonly passedOver: readonly number[];
}

/** How often others may be quicker before we give up: each time they have made a commit. */
const MOST_ATTEMPTS = 1000;

/** Where damaged and replaced manifests go; never deleted by us. */
function damagedDirectory(database: string, dataset: string): string {
  return join(ensurePrivateDirectory(database, "aside"), "manifests", basename(dataset));
}

/**
 * Carries out a plan: the table equals its image again, under a version number above all that were seen,
 * on the disk when it returns. Can be done twice. Where somebody commits first, a new plan is made; a plan
 * that has become a conflict is handed back, and the table left alone.
 *
 * @throws CorruptError where the image's files are gone from the table and from every source.
 */
export async function putBack(
  lancedb: LanceDB,
  database: string,
  plan: PutBackPlan,
): Promise<PutBackOutcome | PutBackPlan> {
  let current = plan;
  for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
    const { action, foreign, newest } = current;
    if (action === "conflict") return current;
    const commit = await new PutBack(lancedb, database, current, attempt > 1).run(action);
    if (commit) {
      const passedOver = [...foreign, ...commit.overtaken];
      return { action, version: commit.version, before: newest, passedOver };
    }
    const next = await planPutBack(plan.target, plan.policy);
    current = { ...next, floor: Math.max(next.floor, plan.floor) };
  }
  throw new LanceError(`Table ${plan.target.table} is committed to without pause; it could not be put back.`);
}

class PutBack {
  readonly #lancedb: LanceDB;
  readonly #database: string;
  readonly #plan: PutBackPlan;
  readonly #target: PutBackTarget;
  /** Whether somebody was seen to commit beside us: they may be cleaning up as well. */
  readonly #othersAtWork: boolean;
  readonly #placer = new Placer(PIN_ORDER);

  constructor(lancedb: LanceDB, database: string, plan: PutBackPlan, othersAtWork: boolean) {
    this.#lancedb = lancedb;
    this.#database = database;
    this.#plan = plan;
    this.#othersAtWork = othersAtWork;
    this.#target = plan.target;
  }

  /** Undefined where the table is not what the plan was made for any more. */
  async run(action: Exclude<PutBackAction, "conflict">): Promise<RestoreCommit | undefined> {
    const { asideDataset, dataset } = this.#target;
    const { newest, newestDigest } = this.#plan;
    if (newestDigest !== undefined && digestOfVersion(dataset, newest) !== newestDigest) return undefined;
    switch (action) {
      case "keep":
        return this.#keep();
      case "restore":
        return this.#restore();
      case "relink":
        return this.#relink();
      case "rebuild":
        return asideDataset && existsSync(join(asideDataset, VERSIONS))
          ? this.#moveBack(asideDataset)
          : this.#rebuild();
    }
  }

  async #keep(): Promise<RestoreCommit | undefined> {
    const { dataset } = this.#target;
    await this.#moveDamagedAside();
    if (this.#plan.heal) {
      await this.#healVersion(dataset);
      await this.#placer.sync();
    }
    const { newest } = this.#plan;
    if (this.#plan.damaged.length === 0) return { version: newest, overtaken: [] };
    const manifest = (await listManifests(dataset)).find((name) => name.version === newest);
    if (!manifest) return undefined;
    return commitRestore(this.#lancedb, this.#database, {
      dataset,
      wanted: { dataset, manifest },
      head: newest,
      floor: this.#plan.floor,
    });
  }

  async #restore(): Promise<RestoreCommit | undefined> {
    await this.#moveDamagedAside();
    await this.#healVersion(this.#target.dataset);
    await this.#placer.sync();
    return this.#commitAndWatch(this.#target.dataset, this.#plan.newest);
  }

  async #relink(): Promise<RestoreCommit | undefined> {
    await this.#moveDamagedAside();
    await this.#linkHistory(this.#target.dataset);
    await this.#placer.sync();
    return this.#commitAndWatch(this.#target.dataset, Math.max(this.#plan.newest, this.#target.version));
  }

  /** The dropped table lies aside as it was: put it right there, then give it its name back. */
  async #moveBack(aside: string): Promise<RestoreCommit | undefined> {
    const newest = (await inspectTable(aside)).head?.version ?? 0;
    await this.#healVersion(aside);
    await this.#placer.sync();
    let commit: RestoreCommit | undefined = { version: newest, overtaken: [] };
    if (newest !== this.#target.version || this.#plan.floor > newest) {
      commit = await this.#commit(aside, Math.max(newest, this.#target.version));
    }
    return commit && (await this.#takePlace(aside)) ? commit : undefined;
  }

  async #rebuild(): Promise<RestoreCommit | undefined> {
    const staging = makeStagingDirectory(this.#database, "table");
    try {
      await this.#linkHistory(staging);
      await this.#placer.sync();
      const commit = await this.#commit(staging, this.#target.version);
      return commit && (await this.#takePlace(staging)) ? commit : undefined;
    } finally {
      removeStagingDirectory(staging); // not there any more where it took its place
    }
  }

  /**
   * A cleanup that was under way when we committed takes files that only old versions had, ours among them. What
   * it took comes back; where it took anything, we look again until it has ended.
   */
  async #commitAndWatch(dataset: string, head: number): Promise<RestoreCommit | undefined> {
    const until = await cleanupMayLastUntil(dataset, this.#plan.policy.ours);
    const commit = await this.#commit(dataset, head);
    if (!commit) return undefined;
    await healUntilQuiet(() => this.#healFiles(dataset), until, this.#othersAtWork);
    await this.#placer.sync();
    return commit;
  }

  /** The version that is wanted again as the newest, unless somebody has committed after `head`. */
  async #commit(dataset: string, head: number): Promise<RestoreCommit | undefined> {
    const { version, digest, table } = this.#target;
    const live = await findManifest(dataset, version, digest);
    const wanted = live ? { dataset, manifest: live } : await this.#findSource();
    if (!wanted) throw new CorruptError(`Version ${version} of table ${table} vanished.`, { path: dataset });
    return commitRestore(this.#lancedb, this.#database, { dataset, wanted, head, floor: this.#plan.floor });
  }

  /** The files of V are there, or come back from a source. */
  async #healVersion(dataset: string): Promise<void> {
    const { version, digest } = this.#target;
    if (await findManifest(dataset, version, digest)) await this.#healFiles(dataset);
    else await this.#linkHistory(dataset);
  }

  /** Answers with how many files had to come back. The list is the source's: it alone has every sidecar. */
  async #healFiles(dataset: string): Promise<number> {
    const { version, digest } = this.#target;
    const source = await this.#findSource();
    const from = source?.dataset ?? dataset;
    const manifest = source?.manifest ?? (await findManifest(dataset, version, digest));
    if (!manifest) return 0;
    return linkBackFiles(await new ImageReader(from).read(manifest), from, dataset, this.#placer);
  }

  /**
   * Puts the source's manifests up to the version into a dataset, each after its files: the version itself first, since
   * it is whole, then the older ones. A foreign manifest of the same number is renamed over.
   */
  async #linkHistory(dataset: string): Promise<void> {
    const { version, table } = this.#target;
    const source = await this.#findSource();
    if (!source) {
      throw new CorruptError(
        `Version ${version} of table ${table} cannot come back: its manifest is neither in ${this.#target.dataset} nor in ${this.#target.sources.join(" nor in ")}.`,
        { path: this.#target.dataset },
      );
    }
    const { manifests, damaged } = await inspectTable(dataset);
    // Manifests that come back take the naming scheme of those that are there.
    const scheme = (manifests[0] ?? damaged[0])?.scheme ?? source.manifest.scheme;
    const reader = new ImageReader(source.dataset);
    const live = await listManifests(dataset);
    for (const manifest of await listManifests(source.dataset)) {
      if (manifest.version > version) continue;
      let image: VersionImage;
      try {
        image = await reader.read(manifest);
      } catch (error) {
        if (manifest.version === version || !(error instanceof CorruptError)) throw error;
        continue; // a damaged older version is no loss: it could not be opened before either
      }
      const isThere = await findManifest(dataset, manifest.version, image.digest, live);
      if (!isThere || manifest.version === version)
        await linkBackFiles(image, source.dataset, dataset, this.#placer);
      if (isThere) continue;
      const other = live.find((name) => name.version === manifest.version);
      if (other && this.#plan.foreign.includes(other.version))
        await this.#keepManifest(join(dataset, VERSIONS, other.name), "copy");
      const kept = join(source.dataset, manifestPath(manifest.name));
      const name = other?.name ?? manifestName(manifest.version, scheme);
      await this.#placer.placeOver(kept, dataset, manifestPath(name));
    }
  }

  async #findSource(): Promise<{ dataset: string; manifest: ManifestName } | undefined> {
    const { version, digest, sources, asideDataset } = this.#target;
    for (const dataset of asideDataset ? [asideDataset, ...sources] : sources) {
      const manifest = await findManifest(dataset, version, digest);
      if (manifest) return { dataset, manifest };
    }
    return undefined;
  }

  async #moveDamagedAside(): Promise<void> {
    for (const name of this.#plan.damaged) {
      await this.#keepManifest(join(this.#target.dataset, VERSIONS, name.name), "move");
    }
  }

  /** `move` for what must go, `copy` for what is about to be renamed over. */
  async #keepManifest(path: string, how: "move" | "copy"): Promise<void> {
    const directory = damagedDirectory(this.#database, this.#target.dataset);
    const name = `${basename(path)}.${randomUUID()}`;
    this.#placer.ensureDirectory(directory, directory);
    if (how === "copy") {
      return this.#placer.placeAs(path, directory, name).catch((error: unknown) => {
        if (errnoOf(error) !== "ENOENT") throw error; // a cleanup has just taken it: there is nothing to keep
      });
    }
    await io("move aside", path, () => rename(path, join(directory, name)));
    await syncDirectories([directory, dirname(path)]);
  }

  /** Gives a finished dataset the table's name; false where somebody has made a table there meanwhile. */
  async #takePlace(dataset: string): Promise<boolean> {
    const { dataset: place, asideDataset } = this.#target;
    if ((await listManifests(place)).length > 0) return false;
    if (lstatSync(place, { throwIfNoEntry: false }) && !removeIfEmpty(place)) {
      // Without a manifest it is no table. Where the table had been dropped, it is a creation of our own that
      // was cut short, and goes with what was dropped.
      const aside = asideDataset ? dirname(asideDataset) : ensurePrivateDirectory(this.#database, "aside");
      const rest = join(aside, `rest-${randomUUID()}`);
      await io("move aside", place, () => moveDirectory(place, rest, VERSIONS));
    }
    await io("put back", place, () => rename(dataset, place));
    await syncDirectories([dirname(place), dirname(dataset)]);
    return true;
  }
}

/**
 * Links the files of a version back from where they were kept, those that are missing or have another
 * size. Answers with how many.
 *
 * @throws CorruptError where a file is neither there nor kept, unless it is an index's: that stays as broken as it was.
 */
async function linkBackFiles(
  image: VersionImage,
  source: string,
  dataset: string,
  placer: Placer,
): Promise<number> {
  let replaced = 0;
  for (const file of image.files) {
    const size = statSync(join(dataset, file.path), { throwIfNoEntry: false })?.size;
    const kept =
      source === dataset ? undefined : statSync(join(source, file.path), { throwIfNoEntry: false })?.size;
    const wanted = file.size ?? kept ?? size;
    if (size !== undefined && size === wanted) continue;
    if (kept === undefined || kept !== wanted) {
      if (file.index) continue; // it was not whole when it was captured, and no row is in it
      const path = join(dataset, file.path);
      throw new CorruptError(`${path} is missing or cut short, and no copy of it was kept.`, { path });
    }
    await placer.placeOver(join(source, file.path), dataset, file.path);
    replaced++;
  }
  return replaced;
}
