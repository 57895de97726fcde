import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ConflictingVersions } from "../../errors.ts";
import { isDataset } from "../../lance/capture.ts";
import { NAMESPACE_TABLE, namespacedDirectories, rootDirectory } from "../../lance/database.ts";
import { listManifests } from "../../lance/image.ts";
import { type PutBackPlan, planPutBack } from "../../lance/put-back/plan.ts";
import type { CapturedTable, EntryRecord } from "../journal/entry.ts";
import type { LoggedIntent } from "../journal/log.ts";
import { currentOf, foldLog, type Incarnation, type TableHistory } from "./history.ts";
import { ownVersions } from "./own-commits.ts";

export type OnConflict = "fail" | "overwrite";

/** A table that the guarded work made, to be removed again. */
export interface DropPlan {
  readonly table: string;
  /** Its directory's name in the database. */
  readonly directory: string;
  /** Commits of others in it, which go with it. */
  readonly foreign: readonly number[];
}

export interface TagPlan {
  readonly dataset: string;
  /** Where the captured tags lie. */
  readonly source: string;
  /** Tags that the guarded work touched, or that went with the table. */
  readonly tags: readonly string[];
  /** Tags that were there when the table was captured. */
  readonly captured: readonly string[];
}

/** Everything that a rollback will do, in order; nothing is touched while it is made. */
export interface RollbackPlan {
  readonly puts: readonly PutBackPlan[];
  readonly drops: readonly DropPlan[];
  readonly tags: readonly TagPlan[];
  readonly conflicts: readonly ConflictingVersions[];
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
}

/** Plans how every table of a backup gets back to what it was. */
export async function planRollback(database: string, request: RollbackRequest): Promise<RollbackPlan> {
  const histories = foldLog(database, request.log);
  const puts: PutBackPlan[] = [];
  const drops: DropPlan[] = [];
  const tags: TagPlan[] = [];
  for (const table of request.record.tables) {
    const history = histories.get(table.id);
    if (table.state === "present") {
      const plan = await planPresent(database, table, history, request);
      puts.push(plan);
      tags.push(planTags(table, history, plan, request));
    }
    drops.push(...(await planDrops(database, table, history, request)));
  }
  const conflicts = [
    ...puts
      .filter((plan) => plan.action === "conflict")
      .map((plan) => ({ table: plan.target.table, versions: plan.foreign })),
    ...drops
      .filter((plan) => plan.foreign.length > 0 && request.onConflict === "fail")
      .map((plan) => ({ table: plan.table, versions: plan.foreign })),
  ];
  return { puts: namespacesLast(puts), drops, tags, conflicts };
}

/** Tables return before the namespaces' own table names them. */
function namespacesLast(plans: PutBackPlan[]): PutBackPlan[] {
  const isNamespaces = (plan: PutBackPlan) => plan.target.table === NAMESPACE_TABLE;
  return [...plans.filter((plan) => !isNamespaces(plan)), ...plans.filter(isNamespaces)];
}

async function planPresent(
  database: string,
  table: CapturedTable & { state: "present" },
  history: TableHistory | undefined,
  request: RollbackRequest,
): Promise<PutBackPlan> {
  const dataset = join(database, table.directory);
  const current = currentOf(history);
  const dropped = history?.incarnations[0]?.aside;
  const asides = history?.incarnations.flatMap((incarnation) => incarnation.aside ?? []) ?? [];
  const seen = await Promise.all(asides.map(async (aside) => (await listManifests(aside))[0]?.version ?? 0));
  const first = history?.incarnations[0];
  const own = await ownVersions(dataset, current, request.lastSign);
  return planPutBack(
    {
      table: table.id,
      dataset,
      version: table.version,
      digest: table.digest,
      sources: [join(request.kept, table.directory)],
      asideDataset: dropped,
      highestKnown: Math.max(table.version, ...seen, ...current.ours),
      capturedAt: Date.parse(request.record.createdAt),
    },
    {
      ours: own.ours,
      oursAside: dropped && first ? (await ownVersions(dropped, first, request.lastSign)).ours : undefined,
      onConflict: request.onConflict,
      always: request.explicit || own.doubtful.length > 0,
    },
  );
}

/** Directories that the guarded work created and that were not there before. */
async function planDrops(
  database: string,
  table: CapturedTable,
  history: TableHistory | undefined,
  { explicit, lastSign }: RollbackRequest,
): Promise<DropPlan[]> {
  const current = currentOf(history);
  const root = rootDirectory(table.id);
  const before = table.state === "present" ? table.directory : undefined;
  const found = new Set<string>();
  if (explicit && table.state === "absent" && root) found.add(root);
  if (current.directory) found.add(current.directory);
  const possible = root ? [root] : await namespacedDirectories(database, table.id);
  for (const directory of possible) {
    if (current.creating && !current.creating.includes(directory)) found.add(directory);
    // LanceDB lists a directory that a failed creation left, and cannot open it. With a version in it, it is
    // somebody else's table.
    if (!current.notCreated || current.notCreated.includes(directory)) continue;
    if ((await listManifests(join(database, directory))).length === 0) found.add(directory);
  }
  if (before) found.delete(before);
  const plans: DropPlan[] = [];
  for (const directory of found) {
    const dataset = join(database, directory);
    if (!existsSync(dataset)) continue;
    plans.push({ table: table.id, directory, foreign: await foreignIn(dataset, current, lastSign) });
  }
  return plans;
}

async function foreignIn(dataset: string, incarnation: Incarnation, lastSign: number): Promise<number[]> {
  if (!isDataset(dataset)) return [];
  const { ours } = await ownVersions(dataset, incarnation, lastSign);
  const versions = (await listManifests(dataset)).map((name) => name.version);
  return versions.filter((version) => !ours.has(version)).sort((a, b) => a - b);
}

function planTags(
  table: CapturedTable & { state: "present" },
  history: TableHistory | undefined,
  plan: PutBackPlan,
  request: RollbackRequest,
): TagPlan {
  const wholeTable = plan.action === "rebuild" || plan.action === "relink" || request.explicit;
  const tags = new Set([...(wholeTable ? table.tags : []), ...(history?.tags ?? [])]);
  return {
    dataset: plan.target.dataset,
    source: join(request.kept, table.directory),
    tags: [...tags],
    captured: table.tags,
  };
}
