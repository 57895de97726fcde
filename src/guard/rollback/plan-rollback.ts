import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import type { ConflictingVersions } from "../../errors.ts";
import {
  listTables,
  listUnfinished,
  NAMESPACE_TABLE,
  namespacedDirectories,
  rootDirectory,
} from "../../lance/database.ts";
import { listManifests } from "../../lance/manifest.ts";
import { type PutBackPlan, planPutBack } from "../../lance/put-back/plan-put-back.ts";
import { isKnown, type VersionIdentities } from "../../lance/put-back/table-state.ts";
import { isLinked, isRealDirectory } from "../../lance/stubs.ts";
import type { LanceDB } from "../../lance/which-lancedb.ts";
import { highestOf } from "../../util/extremes.ts";
import { type CapturedTable, type EntryRecord, isAdopted, type OnConflict } from "../journal/entry-record.ts";
import type { Intent, LoggedIntent } from "../journal/intent-log.ts";
import { planTags, type TagPlan } from "./captured-tags.ts";
import { LiveNamespaces, type NamespacePlan, planNamespaces } from "./namespace-entries.ts";
import { type MovedStub, stubsOf } from "./set-aside.ts";
import {
  currentOf,
  foldLog,
  type Incarnation,
  madeAfterDeath,
  ownVersions,
  type TableHistory,
} from "./work-history.ts";

/** A table that the guarded work made, to be removed again. */
export interface DropPlan {
  readonly table: string;
  /** Its directory's name in the database. */
  readonly directory: string;
  /** Commits of others in it, which go with it. */
  readonly foreign: readonly number[];
  /** What it may hold without a conflict. */
  readonly ours: VersionIdentities;
  /** Whether it stays on the disk, out of the way, where others have committed to it. */
  readonly keepsForeign: boolean;
  /** Whether it stays so in any case: something had its name before that was no table, and is in it now. */
  readonly keepsAll: boolean;
  /** Whether somebody else's files are in it, which stay: what lay there was too young to be moved out of the way. */
  readonly ownFilesAlone: boolean;
  /** Whether every commit in it is the work's own, whoever made it. */
  readonly adopted?: boolean | undefined;
}

/** Everything that a rollback will do, in order; nothing is touched while it is made. */
export interface RollbackPlan {
  readonly puts: readonly PutBackPlan[];
  readonly drops: readonly DropPlan[];
  readonly tags: readonly TagPlan[];
  /** What had a table's name and was none. */
  readonly stubs: readonly MovedStub[];
  /** Last of all, since it names what lies there then. */
  readonly namespaces: NamespacePlan;
  readonly conflicts: readonly ConflictingVersions[];
  /** Versions that go although nobody reported them: a process died before it could, or they are somebody else's. */
  readonly assumed: readonly ConflictingVersions[];
  /**
   * Tables of which every commit since the capture is the work's own; each with the versions that were made when its
   * process was dead, which go back with the rest, and are told.
   */
  readonly adopted?: ReadonlyMap<string, readonly number[]> | undefined;
}

export interface RollbackRequest {
  readonly record: EntryRecord;
  /** The directory that holds the tables' kept directories. */
  readonly kept: string;
  readonly log: readonly LoggedIntent[];
  /** When the guarded work last gave a sign of life, milliseconds since 1970. */
  readonly lastSign: number;
  readonly onConflict: OnConflict;
  /** The restore was asked for, whatever came later. */
  readonly explicit: boolean;
  /** An earlier rollback or restore may have been cut off. */
  readonly again?: boolean | undefined;
}

/** Plans how every table of a backup gets back to what it was. */
export async function planRollback(
  lancedb: LanceDB,
  database: string,
  request: RollbackRequest,
): Promise<RollbackPlan> {
  const { record } = request;
  const tables = [...record.tables, ...(request.explicit ? [] : await madeMeanwhile(database, record))];
  const adopted = new Map<string, readonly number[]>();
  if (!request.explicit) for (const { id } of tables) if (isAdopted(record, id)) adopted.set(id, []);
  const adoptsAll = !request.explicit && record.adopts?.tables === null;
  const histories = foldLog(database, request.log);
  const puts: PutBackPlan[] = [];
  const drops: DropPlan[] = [];
  const tags: TagPlan[] = [];
  const assumed: ConflictingVersions[] = [];
  const assume: Assume = (id, versions) => {
    if (versions.length > 0) assumed.push({ table: id, versions: [...versions] });
  };
  const stubs = stubsOf(database, request.log);
  const live = await LiveNamespaces.read(lancedb, database, record, adoptsAll);
  const gone: { table: string; directory: string }[] = [];
  for (const table of tables) {
    const history = histories.get(table.id);
    const explicit = request.explicit || adopted.has(table.id);
    const asked = { ...request, explicit, adopted: adopted.has(table.id) };
    if (table.id === NAMESPACE_TABLE && (live.isThere || table.state === "absent")) continue;
    if (table.state === "present") {
      const place = live.placeOf(table, currentOf(history));
      const plan = await planPresent(database, { ...table, place }, history, asked, assume);
      puts.push(plan);
      if (adopted.has(table.id) && request.again)
        adopted.set(table.id, await madeAfterDeath(plan.target.dataset, table.version, request.lastSign));
      tags.push(planTags(table, history, plan, asked));
    }
    const made = live.madeEntry(table, history, explicit);
    const hasAside = stubs.some((stub) => stub.table === table.id);
    const isBack = !hasAside && request.log.some(({ intent }) => movesStub(intent, table.id));
    drops.push(...(await planDrops(database, table, { history, made, hasAside, isBack }, asked, assume)));
    if (made !== undefined) gone.push({ table: table.id, directory: made });
  }
  const conflicts = conflictsOf(puts, drops, request.onConflict);
  const places = new Map(puts.map(({ target }) => [target.table, basename(target.dataset)]));
  const made = adoptsAll ? live.namespaces : [];
  const namespaces = planNamespaces({
    record,
    log: request.log,
    live,
    places,
    gone: [...gone, ...drops],
    made,
  });
  return { puts: namespacesLast(puts), drops, stubs, tags, namespaces, conflicts, assumed, adopted };
}

/** Asked for one table. */
interface TableRequest extends RollbackRequest {
  readonly adopted: boolean;
}

/** Tables that are there now, and were not when single-writer work began: nobody else was to make any. */
async function madeMeanwhile(database: string, record: EntryRecord): Promise<CapturedTable[]> {
  if (record.kind !== "guarded" || record.adopts?.tables !== null) return [];
  const known = new Set([NAMESPACE_TABLE, ...record.tables.map(({ id }) => id)]);
  const existing = new Set(record.adopts.existing);
  const unfinished = (await listUnfinished(database)).filter(({ directory }) => !existing.has(directory));
  const ids = new Set([...(await listTables(database)), ...unfinished].map(({ id }) => id));
  return [...ids]
    .filter((id) => !known.has(id))
    .map((id) => ({ id, state: "absent", stub: existing.has(rootDirectory(id) ?? "") || undefined }));
}

const movesStub = (intent: Intent, table: string) => intent.step === "stub" && intent.table === table;

type Assume = (table: string, versions: readonly number[]) => void;

export function conflictsOf(
  puts: readonly PutBackPlan[],
  drops: readonly DropPlan[],
  onConflict: OnConflict,
): ConflictingVersions[] {
  return [
    ...puts
      .filter((plan) => plan.action === "conflict")
      .map((plan) => ({ table: plan.target.table, versions: plan.foreign })),
    ...drops
      .filter((plan) => plan.foreign.length > 0 && onConflict === "fail" && !plan.adopted)
      .map((plan) => ({ table: plan.table, versions: plan.foreign })),
  ];
}

/** Tables return before the namespaces' own table names them. */
function namespacesLast(plans: PutBackPlan[]): PutBackPlan[] {
  const isNamespaces = (plan: PutBackPlan) => plan.target.table === NAMESPACE_TABLE;
  return [...plans.filter((plan) => !isNamespaces(plan)), ...plans.filter(isNamespaces)];
}

async function planPresent(
  database: string,
  table: CapturedTable & { state: "present"; place: string },
  history: TableHistory | undefined,
  request: TableRequest,
  assume: Assume,
): Promise<PutBackPlan> {
  const dataset = join(database, table.place);
  const current = currentOf(history);
  const dropped = history?.incarnations[0]?.aside;
  const asides = history?.incarnations.flatMap((incarnation) => incarnation.aside ?? []) ?? [];
  const seen = await Promise.all(asides.map(async (aside) => (await listManifests(aside))[0]?.version ?? 0));
  const first = history?.incarnations[0];
  const captured = dropped ? undefined : table;
  const own = await ownVersions(dataset, current, captured, request.lastSign);
  if (!request.adopted) assume(table.id, own.assumed);
  return planPutBack(
    {
      table: table.id,
      dataset,
      version: table.version,
      digest: table.digest,
      sources: [join(request.kept, table.directory)],
      asideDataset: dropped,
      highestKnown: highestOf(highestOf(table.version, seen), current.ours.keys()),
      capturedAt: Date.parse(request.record.createdAt),
      again: request.again,
      link: table.link,
    },
    {
      ours: own.ours,
      oursAside: dropped && first ? await ownAside(dropped, first, table, request.lastSign) : undefined,
      onConflict: request.adopted ? "overwrite" : request.onConflict,
      always: request.explicit || own.doubtful.length > 0,
    },
  );
}

/** A commit that ran beside the drop found its manifest gone already: it lies here, and its number counts. */
async function ownAside(
  aside: string,
  incarnation: Incarnation,
  table: CapturedTable & { state: "present" },
  lastSign: number,
): Promise<VersionIdentities> {
  const { ours } = await ownVersions(aside, incarnation, table, lastSign);
  return new Map([...ours].map(([version, digest]) => [version, digest || undefined]));
}

/** Directories that the guarded work created and that were not there before. */
async function planDrops(
  database: string,
  table: CapturedTable,
  {
    history,
    made,
    hasAside,
    isBack,
  }: { history: TableHistory | undefined; made: string | undefined; hasAside: boolean; isBack: boolean },
  { explicit, lastSign, record, adopted, again }: TableRequest,
  assume: Assume,
): Promise<DropPlan[]> {
  const current = currentOf(history);
  const root = rootDirectory(table.id);
  const before = table.state === "present" ? table.directory : undefined;
  const found = new Set<string>();
  const isTable = async (directory: string) => (await listManifests(join(database, directory))).length > 0;
  // What has the name and is no table was perhaps there before, and is nobody's of ours.
  if (explicit && table.state === "absent" && root && (await isTable(root))) found.add(root);
  if (current.directory) found.add(current.directory);
  if (made) found.add(made);
  const possible = root ? [root] : await namespacedDirectories(database, table.id);
  for (const directory of possible) {
    const existing = record.adopts?.existing.includes(directory);
    if (adopted && table.state === "absent" && !existing) found.add(directory);
    if (current.creating && !current.creating.includes(directory)) found.add(directory);
    // LanceDB lists a directory that a failed creation left, and cannot open it. With a version in it, it is
    // somebody else's table.
    if (!current.notCreated || current.notCreated.includes(directory)) continue;
    if (!(await isTable(directory)) && !isLinked(join(database, directory))) found.add(directory);
  }
  if (before) found.delete(before);
  const wasDropped = (history?.incarnations.length ?? 1) > 1; // what had lain there went aside with it
  const isShared = !explicit && table.state === "absent" && table.stub === true && !hasAside && !wasDropped;
  // Others made it after it was found absent, and the work wrote to it.
  const others = before === undefined && found.size === 0 && wrote(current) ? possible : [];
  const plans: DropPlan[] = [];
  for (const directory of [...found, ...others]) {
    const dataset = join(database, directory);
    if (!existsSync(dataset)) continue;
    // A rollback that died late has put it back already: it is what was there before the work.
    if (isBack && directory === root && !(await isTable(directory))) continue;
    const { ours, doubtful, assumed } = await ownVersions(dataset, current, undefined, lastSign);
    const foreign = adopted
      ? again
        ? await madeAfterDeath(dataset, 0, lastSign)
        : []
      : await foreignIn(dataset, ours);
    if (others.includes(directory)) {
      const present = await listManifests(dataset);
      if (doubtful.length === 0 && foreign.length === present.length) continue; // nothing of ours is in it
    }
    if (!adopted) assume(table.id, assumed);
    // Between a backup made by hand and its restore nobody notes whose a commit is: mostly the caller's own.
    const keepsForeign = (record.restore?.kind ?? record.kind) === "guarded";
    const keepsAll = explicit && table.state === "absent" && table.stub === true;
    const ownFilesAlone = isShared && directory === root && foreign.length === 0 && isRealDirectory(dataset);
    plans.push({ table: table.id, directory, foreign, ours, keepsForeign, keepsAll, ownFilesAlone, adopted });
  }
  return plans;
}

function wrote({ ours, open }: Incarnation): boolean {
  return ours.size > 0 || open.length > 0;
}

/** Versions in a dataset that are not among these. Ascending. */
export async function foreignIn(dataset: string, ours: VersionIdentities): Promise<number[]> {
  const foreign = (await listManifests(dataset)).filter((name) => !isKnown(dataset, name, ours));
  return foreign.map((name) => name.version).sort((a, b) => a - b);
}
