import { existsSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { assertFlag, assertKnown, assertSignal } from "../../../checks.ts";
import type { BlobStore } from "../../../engine/blobs/blob-store.ts";
import type { ResolveOptions } from "../../../engine/catalog/catalog.ts";
import { BackupNotFoundError, ValidationError } from "../../../errors.ts";
import { holding } from "../../../fs/held-root.ts";
import { advice } from "../../../hint.ts";
import { databasePath, listTables, type TableLocation } from "../../../lance/database.ts";
import { identifyDatabase } from "../../../lance/database-identity.ts";
import { listManifests } from "../../../lance/manifest.ts";
import { hasUniqueName } from "../../../lance/table-directory.ts";
import type { LanceCatalog } from "../lance-catalog.ts";
import type { SnapshotContent } from "../snapshot-view.ts";
import { type Comparison, compareTables, type Finding } from "./compare.ts";
import { describeDamage } from "./describe.ts";
import { healFile } from "./heal-file.ts";
import { type LiveTable, readLiveTable, type TablePlace } from "./live-table.ts";
import { type LocatedFile, locateFiles } from "./locate.ts";
import { newestReference } from "./reference.ts";
import type { Damage, ScrubOptions, ScrubReport } from "./scrub-report.ts";

export interface ScrubContext {
  readonly blobs: BlobStore;
  readonly catalog: Pick<
    LanceCatalog,
    "candidates" | "content" | "resolve" | "newestOf" | "newestFirst" | "readable"
  >;
}

/** A cleanup takes the files of old versions first and their manifests then, so that files seem missing for a while. */
const MISSING_LOOKS = 6;
const PAUSE_MS = 200;
/** What was mended may tell that more can be. A disk that fails damages new files all the time. */
const MOST_PASSES = 5;

/** What is wrong, and for what can be mended the file as it was judged. */
interface Judged {
  readonly damage: Damage;
  /** The table's directory. */
  readonly directory: string;
  readonly seen: Stats | undefined;
}

/**
 * Compares the files of a live database with the digests that a snapshot has of them, which LanceDB never does, and
 * tells what is damaged. Tables may be written meanwhile: a file that was legitimately removed or replaced is no damage,
 * and each damaged one is looked at twice. With `heal` the snapshot's file takes the place of each damaged one that is
 * that very file; the damaged one is kept below `<uri>/.lancedb-backup/aside/`. What cannot be mended says why.
 *
 * @throws ValidationError where there is no such database, TypeError for wrong options. @throws BackupNotFoundError
 * where there is no snapshot of it. @throws CorruptError, UnsupportedError where the snapshot's document cannot be read,
 * or a live table uses what cannot be captured. @throws IoError.
 */
export async function scrub(
  { blobs, catalog }: ScrubContext,
  uri: string,
  options: ScrubOptions = {},
): Promise<ScrubReport> {
  assertKnown(options, "scrub", {
    heal: true,
    snapshot: true,
    source: true,
    signal: true,
    onProgress: true,
  });
  const { heal, signal } = options;
  assertFlag(heal, "heal");
  assertSignal(signal);
  signal?.throwIfAborted();
  const database = await databasePath(uri);
  if (!existsSync(database)) throw new ValidationError(`There is no database at ${database}.`);
  return holding([{ path: database, what: "database" }], () =>
    scrubDatabase({ blobs, catalog }, database, options),
  );
}

async function scrubDatabase(
  { blobs, catalog }: ScrubContext,
  database: string,
  options: ScrubOptions,
): Promise<ScrubReport> {
  const { heal = false, signal } = options;
  const there = await tablesOf(database);
  const { source, snapshot } = options;
  const own = identifyDatabase(database);
  const wanted = { source, preferredSource: own.id, signal };
  const content =
    snapshot !== undefined
      ? await catalog.content(await catalog.resolve(snapshot, wanted), signal, wanted)
      : await newestReference(
          catalog,
          source === undefined ? own : await sourceOf(catalog, wanted),
          there,
          signal,
        );
  if (!content) {
    const why = advice`${blobs.storage.location} has no snapshot of ${database} (id ${own.id}). Take one; or name another database ${{ options: { source: null } }}, or a snapshot ${{ options: { snapshot: null } }}.`;
    throw new BackupNotFoundError("latest", why);
  }
  const first = await plan(blobs, database, there, content, options);
  if (!heal) return first.report;
  const name = `scrub-${new Date().toISOString().replace(/[:.]/g, "-")}`;
  const mended: Damage[] = [];
  for (let [{ report, judged }, pass] = [first, 1]; ; pass++) {
    const done = await healAll({ blobs, database, content, name, signal }, judged);
    const rest = done.filter((damage) => !damage.mended);
    mended.push(...done.filter((damage) => damage.mended));
    // A manifest that cannot be read is told by the files of its version: those that are there now.
    const isProgress = rest.length > 0 && rest.length < done.length && pass < MOST_PASSES;
    if (!isProgress) return { ...first.report, damage: [...mended, ...rest] };
    ({ report, judged } = await plan(blobs, database, await tablesOf(database), content, options));
    if (report.damage.length === 0) return { ...first.report, damage: mended };
  }
}

interface Healing {
  readonly blobs: BlobStore;
  readonly database: string;
  readonly content: SnapshotContent;
  /** Of the directory below which damaged files are kept. */
  readonly name: string;
  readonly signal: AbortSignal | undefined;
}

/** Data before manifests: their files tell whose these are. */
async function healAll(
  { blobs, database, content, name, signal }: Healing,
  judged: readonly Judged[],
): Promise<Damage[]> {
  const soundOf = ({ table, path }: Damage, directory: string) => {
    const file = content.files.get(directory)?.find((one) => one.path === path);
    return file && { table, ...file };
  };
  const damage: Damage[] = [];
  const isManifest = ({ damage: { kind } }: Judged) => Number(kind === "manifest");
  for (const { damage: one, directory, seen } of judged.toSorted((a, b) => isManifest(a) - isManifest(b))) {
    signal?.throwIfAborted();
    const sound = soundOf(one, directory);
    if (one.refused !== undefined || !sound) {
      damage.push(one);
      continue;
    }
    const asideName = join(name, directory, one.path);
    const done = await healFile(
      blobs,
      database,
      { dataset: join(database, directory), file: one.file, asideName, sound, seen },
      signal,
    );
    damage.push({ ...one, ...done });
  }
  return damage;
}

/** A directory without a manifest is no table any more, whatever else of it is there. */
async function tablesOf(database: string): Promise<TableLocation[]> {
  const tables: TableLocation[] = [];
  for (const table of await listTables(database)) {
    if ((await listManifests(join(database, table.directory))).length > 0) tables.push(table);
  }
  return tables;
}

/** The database that the option names. */
async function sourceOf(
  catalog: Pick<LanceCatalog, "candidates">,
  wanted: ResolveOptions,
): Promise<{ readonly id: string }> {
  const { among } = await catalog.candidates("latest", wanted);
  return { id: among[0]?.source.id ?? "" };
}

async function plan(
  blobs: BlobStore,
  database: string,
  there: readonly TableLocation[],
  content: SnapshotContent,
  { signal, onProgress }: ScrubOptions,
): Promise<{ report: ScrubReport; judged: readonly Judged[] }> {
  const directories = new Set(there.map(({ directory }) => directory));
  const { tables } = content.snapshot;
  const both = tables.filter(({ directory }) => directories.has(directory));
  const read = async ({ id, directory }: { id: string; directory: string }) => {
    const known = new Map((content.files.get(directory) ?? []).map((file) => [file.path, file]));
    const place: TablePlace = { blobs, id, dataset: join(database, directory), known };
    return { place, live: await readLiveTable(place, signal) };
  };
  const live: { place: TablePlace; live: LiveTable }[] = [];
  for (const table of both) live.push(await read(table));
  const found = await compareTables(live, { signal, onProgress });
  const judged: Judged[] = [];
  for (const table of both) {
    const first = findingsOf(found, table.id);
    if (first.length === 0) continue;
    let sure = await lookAgain(await read(table), first, signal);
    for (let look = 1; look < MISSING_LOOKS && sure.some(({ problem }) => problem === "missing"); look++) {
      await sleep(PAUSE_MS);
      sure = await lookAgain(await read(table), sure, signal);
    }
    judged.push(...(await judge(sure, table.directory, signal)));
  }
  const known = new Set(tables.map(({ directory }) => directory));
  const report: ScrubReport = {
    snapshot: content.snapshot.id,
    source: content.snapshot.source,
    tables: both.map(({ id }) => id),
    missingTables: tables.filter(({ directory }) => !directories.has(directory)).map(({ id }) => id),
    newTables: there.filter(({ directory }) => !known.has(directory)).map(({ id }) => id),
    files: found.files,
    bytes: found.bytes,
    newFiles: found.newFiles,
    damage: judged.map(({ damage }) => damage),
  };
  return { report, judged };
}

/** Which of the findings are still so. A file may have been cleaned up, or its table dropped, while it was read. */
async function lookAgain(
  { place, live }: { place: TablePlace; live: LiveTable },
  findings: readonly Finding[],
  signal: AbortSignal | undefined,
): Promise<Finding[]> {
  const paths = new Set(findings.map(({ path }) => path));
  const only = <V>(map: ReadonlyMap<string, V>) => new Map([...map].filter(([path]) => paths.has(path)));
  const damagedManifests = live.damagedManifests.filter(({ path }) => paths.has(path));
  const part = {
    place: { ...place, known: only(place.known) },
    live: { needed: only(live.needed), damagedManifests, versions: [] },
  };
  const { findings: again } = await compareTables([part], { signal });
  return again.map((finding) => ({ ...finding, place, live }));
}

function findingsOf({ findings }: Comparison, table: string): readonly Finding[] {
  return findings.filter(({ place }) => place.id === table);
}

/** An index that was not whole when the snapshot was taken, and that the table's newest version does without by now. */
function isDroppedIndex({ known, problem, live }: Finding, located: LocatedFile | undefined): boolean {
  if (known || problem !== "missing" || located?.index === undefined) return false;
  return located.version < (live.versions[0]?.version ?? 0);
}

async function judge(
  findings: readonly Finding[],
  directory: string,
  signal: AbortSignal | undefined,
): Promise<Judged[]> {
  const [first] = findings;
  if (!first) return [];
  const located = await locateFiles(
    first.place,
    first.live,
    findings.map(({ path }) => path),
  );
  const judged: Judged[] = [];
  for (const finding of findings) {
    const isGone = finding.problem === "missing" && hasUniqueName(finding.path) && !located.has(finding.path);
    if (isGone) continue; // with the last version that needed it
    if (isDroppedIndex(finding, located.get(finding.path))) continue;
    const seen = statSync(join(finding.place.dataset, finding.path), { throwIfNoEntry: false });
    const damage = await describeDamage(finding, located.get(finding.path), signal);
    judged.push({ damage, directory, seen });
  }
  return judged;
}
