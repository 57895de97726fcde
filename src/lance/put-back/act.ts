import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BackupError, CorruptError, LanceError } from "../../errors.ts";
import { createFileExclusively, syncDirectories, syncDirectory, syncFile } from "../../fs/durable.ts";
import { io } from "../../fs/io.ts";
import { PIN_ORDER, Placer } from "../../fs/place.ts";
import { Door } from "../door.ts";
import { ImageReader, listManifests, VERSIONS } from "../image.ts";
import { type Manifest, parseManifest, renumberManifest, sameContent } from "../manifest.ts";
import { type ManifestName, manifestName, type NamingScheme } from "../manifest-name.ts";
import { ensurePrivateDirectory, removeIfEmpty } from "../private-directory.ts";
import { makeStagingDirectory } from "../staging.ts";
import { linkBackFiles, linkBackHistory } from "./link-back.ts";
import type { PutBackPlan, PutBackTarget } from "./plan.ts";
import { findManifest, inspectTable, readManifest } from "./state.ts";

export interface PutBackOutcome {
  /** The table's newest version now. */
  readonly version: number;
  /** Versions that others committed while we restored, blindly, over them. Empty as a rule. */
  readonly overtaken: readonly number[];
}

/** How many of the newest manifests a put back can have made: the restore, and the same under a higher number. */
const FRESH_MANIFESTS = 2;

/** How often a version that somebody's cleanup takes away is linked back. */
const RESTORE_ATTEMPTS = 20;
const OPEN_ATTEMPTS = 5;

/** A cleanup that was seen counts as ended when nothing was missing so many times. */
const QUIET_LOOKS = 5;
const PAUSE_MS = 20;

/** Where damaged and replaced manifests go; never deleted by us. */
function damagedDirectory(database: string, dataset: string): string {
  return join(ensurePrivateDirectory(database, "aside"), "manifests", basename(dataset));
}

/**
 * Carries out a plan: the table equals its image again, under a version number above all that were seen,
 * on the disk when it returns. Can be done twice.
 *
 * @throws CorruptError where the image's files are gone from the table and from every source.
 */
export async function putBack(database: string, plan: PutBackPlan): Promise<PutBackOutcome> {
  const { target } = plan;
  const work = new PutBack(database, plan);
  switch (plan.action) {
    case "keep":
      return work.keep();
    case "restore":
      return work.restore();
    case "relink":
      return work.relink();
    case "rebuild":
      return target.asideDataset && existsSync(join(target.asideDataset, VERSIONS))
        ? work.moveBack(target.asideDataset)
        : work.rebuild();
    case "conflict":
      throw new TypeError(`The plan for table ${target.table} is a conflict; there is nothing to carry out.`);
  }
}

class PutBack {
  readonly #database: string;
  readonly #plan: PutBackPlan;
  readonly #target: PutBackTarget;
  readonly #placer = new Placer(PIN_ORDER);
  /** Whether somebody's cleanup was seen to run beside us. */
  #cleanupSeen = false;

  constructor(database: string, plan: PutBackPlan) {
    this.#database = database;
    this.#plan = plan;
    this.#target = plan.target;
  }

  async keep(): Promise<PutBackOutcome> {
    const { dataset } = this.#target;
    await this.#moveDamagedAside();
    if (this.#plan.mend) {
      await this.#mendVersion(dataset);
      await this.#placer.sync();
    }
    const newest = await newestVersion(dataset);
    if (this.#plan.damaged.length > 0) return this.#commit(dataset, newest);
    return { version: newest, overtaken: [] };
  }

  async restore(): Promise<PutBackOutcome> {
    await this.#moveDamagedAside();
    await this.#mendVersion(this.#target.dataset);
    await this.#placer.sync();
    return this.#commitAndWatch(this.#target.dataset);
  }

  async relink(): Promise<PutBackOutcome> {
    await this.#moveDamagedAside();
    await this.#linkHistory(this.#target.dataset);
    await this.#placer.sync();
    return this.#commitAndWatch(this.#target.dataset);
  }

  /** The dropped table lies aside as it was: put it right there, then give it its name back. */
  async moveBack(aside: string): Promise<PutBackOutcome> {
    const state = await inspectTable(aside);
    const newest = state.head?.version ?? 0;
    await this.#mendVersion(aside);
    await this.#placer.sync();
    let outcome: PutBackOutcome = { version: newest, overtaken: [] };
    if (newest !== this.#target.version || this.#plan.floor > newest) outcome = await this.#commit(aside);
    await this.#takePlace(aside);
    return outcome;
  }

  async rebuild(): Promise<PutBackOutcome> {
    const staging = makeStagingDirectory(this.#database, "table");
    await this.#linkHistory(staging);
    await this.#placer.sync();
    const outcome = await this.#commit(staging);
    await this.#takePlace(staging);
    return outcome;
  }

  /**
   * A cleanup that was under way when we committed takes files that only old versions had, ours among them. What
   * it took comes back; where it took anything, we look again until it has ended.
   */
  async #commitAndWatch(dataset: string): Promise<PutBackOutcome> {
    const outcome = await this.#commit(dataset);
    const othersAtWork = this.#cleanupSeen || outcome.overtaken.length > 0;
    for (let quiet = othersAtWork ? 0 : QUIET_LOOKS - 1; quiet < QUIET_LOOKS; quiet++) {
      if ((await this.#mendFiles(dataset)) > 0) quiet = -1;
      if (quiet < QUIET_LOOKS - 1) await sleep(PAUSE_MS);
    }
    await this.#placer.sync();
    return outcome;
  }

  /** The version that is wanted again as the newest, by Lance's own restore, under a number above the floor. */
  async #commit(dataset: string, wanted = this.#target.version): Promise<PutBackOutcome> {
    const { table } = this.#target;
    using door = await this.#open(dataset);
    try {
      const head = await door.table.version();
      const image = await this.#restore(door, dataset, wanted);
      const restored = await door.table.version();
      const overtaken = numbersBetween(head, restored);
      const version = Math.max(restored, this.#plan.floor + 1);
      if (version > restored) overtaken.push(...(await this.#jump(dataset, restored, version)));
      await this.#syncHead(dataset);
      await this.#assertEqual(dataset, version, image);
      return { version, overtaken };
    } catch (error) {
      if (error instanceof BackupError) throw error;
      throw new LanceError(
        `LanceDB could not restore version ${wanted} of table ${table}: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    }
  }

  /**
   * Lance's own restore; answers with what was restored. A cleanup that runs beside us takes an old version
   * again as soon as it is linked back: then once more.
   */
  async #restore(door: Door, dataset: string, wanted: number): Promise<Manifest> {
    for (let attempt = 1; ; attempt++) {
      const manifest = await readVersion(dataset, wanted);
      try {
        await door.table.checkout(wanted);
        await door.table.restore();
        if (manifest) return manifest;
      } catch (error) {
        const taken = wanted === this.#target.version && !(await readVersion(dataset, wanted));
        if (!taken || attempt === RESTORE_ATTEMPTS) throw error;
      }
      this.#cleanupSeen = true;
      await this.#mendVersion(dataset);
      await this.#placer.sync();
    }
  }

  /**
   * Commits the restored version once more under a higher number, so that every handle that has seen a
   * number up to the floor finds a restore above it, and stops. Lance allows gaps (docs/lance-facts.md);
   * the manifest appears by link, as Lance's own do, and never replaces one. Answers with what others
   * committed in between.
   */
  async #jump(dataset: string, restored: number, to: number): Promise<number[]> {
    const name = (await listManifests(dataset)).find((entry) => entry.version === restored);
    const path = name && join(dataset, VERSIONS, name.name);
    const bytes = path && (await io("read", path, () => readFile(path)));
    if (!name || !bytes)
      throw new CorruptError(`Version ${restored} of ${dataset} vanished.`, { path: dataset });
    const manifest = parseManifest(bytes, restored, path);
    const target = join(dataset, VERSIONS, manifestName(to, name.scheme));
    if (!(await createFileExclusively(target, renumberManifest(bytes, manifest, to)))) {
      throw new CorruptError(`${target} exists already.`, { path: target });
    }
    const seen = (await listManifests(dataset)).map((entry) => entry.version);
    return seen.filter((version) => version > restored && version < to).sort((a, b) => a - b);
  }

  /** What was restored must be what was captured, fragment by fragment: LanceDB's word is checked. */
  async #assertEqual(dataset: string, restored: number, image: Manifest): Promise<void> {
    const now = await readVersion(dataset, restored);
    const [newest] = await listManifests(dataset);
    if (!now && newest && newest.version > restored) return; // others went on from it, and cleaned it up
    if (!now || !sameContent(now, image)) {
      throw new CorruptError(
        `Version ${restored} of table ${this.#target.table} is not what version ${image.version} was.`,
        { path: dataset },
      );
    }
  }

  /** The files of V are there, or come back from a source. */
  async #mendVersion(dataset: string): Promise<void> {
    const { version, digest } = this.#target;
    if (await findManifest(dataset, version, digest)) await this.#mendFiles(dataset);
    else await this.#linkHistory(dataset);
  }

  /** Answers with how many files had to come back. The list is the source's: it alone has every sidecar. */
  async #mendFiles(dataset: string): Promise<number> {
    const { version, digest } = this.#target;
    const source = await this.#findSource();
    const from = source?.dataset ?? dataset;
    const manifest = source?.manifest ?? (await findManifest(dataset, version, digest));
    if (!manifest) return 0;
    return linkBackFiles(await new ImageReader(from).read(manifest), from, dataset, this.#placer);
  }

  async #linkHistory(dataset: string): Promise<void> {
    const { version, table } = this.#target;
    const source = await this.#findSource();
    if (!source) {
      throw new CorruptError(
        `Version ${version} of table ${table} cannot come back: its manifest is neither in ${this.#target.dataset} nor in ${this.#target.sources.join(" nor in ")}.`,
        { path: this.#target.dataset },
      );
    }
    await linkBackHistory({
      source: source.dataset,
      dataset,
      version,
      scheme: await this.#scheme(dataset, source.manifest.scheme),
      placer: this.#placer,
      keep: async (manifest, number) => {
        if (this.#plan.foreign.includes(number)) await this.#keepManifest(manifest, "copy");
      },
    });
  }

  async #findSource(): Promise<{ dataset: string; manifest: ManifestName } | undefined> {
    const { version, digest, sources, asideDataset } = this.#target;
    for (const dataset of asideDataset ? [asideDataset, ...sources] : sources) {
      const manifest = await findManifest(dataset, version, digest);
      if (manifest) return { dataset, manifest };
    }
    return undefined;
  }

  /** Manifests that come back take the naming scheme of those that are there. */
  async #scheme(dataset: string, fallback: NamingScheme): Promise<NamingScheme> {
    const state = await inspectTable(dataset);
    return (state.manifests[0] ?? state.damaged[0])?.scheme ?? fallback;
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
    if (how === "copy") return this.#placer.placeAs(path, directory, name);
    await io("move aside", path, () => rename(path, join(directory, name)));
    await syncDirectories([directory, dirname(path)]);
  }

  /** Gives a finished dataset the table's name, where nothing or an empty directory stands. */
  async #takePlace(dataset: string): Promise<void> {
    const { dataset: place, asideDataset } = this.#target;
    if (existsSync(place) && !removeIfEmpty(place)) {
      // Without a manifest it is no table. Where the table had been dropped, it is a creation of our own that
      // was cut short, and goes with what was dropped.
      const aside = asideDataset ? dirname(asideDataset) : ensurePrivateDirectory(this.#database, "aside");
      const rest = join(aside, `rest-${randomUUID()}`);
      await io("move aside", place, () => rename(place, rest));
    }
    await io("put back", place, () => rename(dataset, place));
    await syncDirectories([dirname(place), dirname(dataset)]);
  }

  async #syncHead(dataset: string): Promise<void> {
    const fresh = (await listManifests(dataset)).slice(0, FRESH_MANIFESTS);
    await Promise.all(fresh.map((name) => syncFile(join(dataset, VERSIONS, name.name))));
    await syncDirectory(join(dataset, VERSIONS));
  }

  /** Once more where a cleanup took the version that was the newest when LanceDB looked. */
  async #open(dataset: string): Promise<Door> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await Door.open(this.#database, dataset);
      } catch (error) {
        if (error instanceof BackupError) throw error;
        if (attempt < OPEN_ATTEMPTS) {
          await sleep(PAUSE_MS);
          continue;
        }
        throw new LanceError(`LanceDB could not open table ${this.#target.table}: ${messageOf(error)}`, {
          cause: error,
        });
      }
    }
  }
}

function numbersBetween(low: number, high: number): number[] {
  return Array.from({ length: Math.max(0, high - low - 1) }, (_, index) => low + 1 + index);
}

async function readVersion(dataset: string, version: number): Promise<Manifest | undefined> {
  const name = (await listManifests(dataset)).find((entry) => entry.version === version);
  return name && readManifest(dataset, name)?.manifest;
}

async function newestVersion(dataset: string): Promise<number> {
  return (await inspectTable(dataset)).head?.version ?? 0;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
