import { join } from "node:path";
import type { Branches, Job, MaterializedView, MergeInsertBuilder, Table, Tags } from "@lancedb/lancedb";
import { UnsupportedError } from "../../errors.ts";
import {
  type CommitKind,
  type CommitMark,
  commitKindOf,
  markOfAppend,
  markOfDelete,
} from "../../lance/commit-kind.ts";
import { listManifests } from "../../lance/manifest.ts";
import { HandleView } from "./handle-view.ts";
import type { OpenWork } from "./open-work.ts";

const APPEND: readonly CommitKind[] = ["append", "overwrite"];
const ROWS: readonly CommitKind[] = ["update", "append", "delete"];
const COLUMNS: readonly CommitKind[] = ["merge", "project", "updateConfig"];
/** New values of a computed column, and the note of how far they are computed. */
const VALUES: readonly CommitKind[] = ["dataReplacement", "merge", "updateConfig"];
const INDEX: readonly CommitKind[] = ["createIndex"];
const OPTIMIZE: readonly CommitKind[] = ["reserveFragments", "rewrite", "createIndex"];
const VIEW: readonly CommitKind[] = [...ROWS, "overwrite", "project", ...VALUES, "rewrite"];

/**
 * A LanceDB table whose every write is captured, announced and counted as the operation's own. Writes on a
 * branch are not the guard's: they leave the main line alone.
 */
export function guardTable(operation: OpenWork, id: string, view: HandleView): Table {
  const { table } = view;
  const branches = async () => guardBranches(operation, id, await table.branches());
  if (branchOf(table) !== null) return withMembers(table, { branches });
  const versioned = <R extends { version: number }>(
    kinds: readonly CommitKind[],
    run: () => Promise<R>,
    mark?: CommitMark,
  ) => commitWithVersion(operation, id, view, kinds, run, mark);
  const onHandle = <R>(kinds: readonly CommitKind[], run: () => Promise<R>, makes: "one" | "all" = "one") =>
    commitOnHandle(operation, id, view, kinds, run, makes);
  const update = (...args: Parameters<Table["update"]>) => versioned(["update"], () => table.update(...args));
  const members: Partial<Table> = {
    add: (data, options) => versioned(APPEND, () => table.add(data, options), markOfAppend(data)),
    update: update as Table["update"],
    delete: (predicate) => versioned(["delete"], () => table.delete(predicate), markOfDelete(predicate)),
    mergeInsert: (on) => guardMerge(operation, id, view, table.mergeInsert(on)),
    addColumns: (columns) => versioned(COLUMNS, () => table.addColumns(columns)),
    alterColumns: (changes) => versioned(COLUMNS, () => table.alterColumns(changes)),
    dropColumns: (names) => versioned(COLUMNS, () => table.dropColumns(names)),
    updateFieldMetadata: (updates) => versioned(COLUMNS, () => table.updateFieldMetadata(updates)),
    setUnenforcedPrimaryKey: (columns) => onHandle(COLUMNS, () => table.setUnenforcedPrimaryKey(columns)),
    refreshColumn: (column) => onHandle(VALUES, () => table.refreshColumn(column), "all"),
    refreshColumnAsync: (column) =>
      backgroundJob(operation, id, view, VALUES, () => table.refreshColumnAsync(column)),
    refreshMaterializedView: (full, source) =>
      onHandle(VIEW, () => table.refreshMaterializedView(full, source), "all"),
    createIndex: (column, options) => onHandle(INDEX, () => table.createIndex(column, options)),
    createIndexAsync: (column, options) =>
      backgroundJob(operation, id, view, INDEX, () => table.createIndexAsync(column, options)),
    dropIndex: (name) => onHandle(INDEX, () => table.dropIndex(name)),
    optimize: (options) => onHandle(OPTIMIZE, () => table.optimize(options), "all"),
    checkout: (version) => view.checkout(version),
    checkoutLatest: () => view.checkoutLatest(),
    restore: () => onHandle(["restore"], () => view.restore()),
    tags: async () => guardTags(operation, id, await table.tags()),
    branches,
    setLsmWriteSpec: async () => {
      throw new UnsupportedError(
        `Table ${id} cannot change to the LSM write path inside guarded work: its rows would lie outside every version.`,
      );
    },
    ...lsmMembers(operation, id, table),
  };
  // `LocalTable` alone has this one: it gives every manifest its new name.
  const migrate = Reflect.get(table, "migrateManifestPathsV2") as (() => Promise<void>) | undefined;
  if (migrate) {
    Object.assign(members, { migrateManifestPathsV2: () => onHandle([], () => migrate.call(table)) });
  }
  return withMembers(table, members);
}

/** Null for the main line, and where LanceDB is from before it had branches. */
function branchOf(table: Table): string | null {
  return "currentBranch" in table ? table.currentBranch() : null;
}

/** What is done to rows outside of versions. A table that has any is refused when it is captured. */
const LSM = ["unsetLsmWriteSpec", "closeLsmWriters", "flushLsm", "compactLsm", "checkpointLsm"] as const;

function lsmMembers(operation: OpenWork, id: string, table: Table): Partial<Table> {
  const guarded =
    (name: string) =>
    (...args: unknown[]) =>
      operation.call(async () => {
        await operation.capture(id);
        return Reflect.apply(Reflect.get(table, name) as (...given: unknown[]) => unknown, table, args);
      });
  return Object.fromEntries(LSM.map((name) => [name, guarded(name)]));
}

/** @param view of the handle that the materialized one is on */
export function guardMaterialized(
  operation: OpenWork,
  id: string,
  materialized: MaterializedView,
  view: HandleView,
): MaterializedView {
  const guarded = guardTable(operation, id, view);
  return withMembers(materialized, {
    table: () => guarded,
    refresh: (options: Parameters<MaterializedView["refresh"]>[0]) =>
      commitOnHandle(operation, id, view, VIEW, () => materialized.refresh(options), "all"),
  });
}

function guardMerge(
  operation: OpenWork,
  id: string,
  view: HandleView,
  builder: MergeInsertBuilder,
): MergeInsertBuilder {
  // Every step answers with a builder, those too that other versions of LanceDB have: only a guarded one is handed on.
  const step = (name: string) => {
    const next = Reflect.get(builder, name) as (...args: unknown[]) => MergeInsertBuilder;
    return (...args: unknown[]) => guardMerge(operation, id, view, Reflect.apply(next, builder, args));
  };
  const execute = (...args: Parameters<MergeInsertBuilder["execute"]>) =>
    commitWithVersion(operation, id, view, ROWS, () => builder.execute(...args));
  return withMembers(builder, {
    ...Object.fromEntries(stepsOf(builder).map((name) => [name, step(name)])),
    execute,
  });
}

function stepsOf(builder: MergeInsertBuilder): string[] {
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(builder));
  return names.filter((name) => name !== "constructor" && name !== "execute");
}

function guardTags(operation: OpenWork, id: string, tags: Tags): Tags {
  const write = <R>(tag: string, run: () => Promise<R>) =>
    operation.write({
      table: id,
      intent: () => ({ step: "tag", table: id, tag }),
      run,
      outcome: () => ({ versions: [] }),
    });
  return withMembers(tags, {
    create: (tag: string, version: number) => write(tag, () => tags.create(tag, version)),
    update: (tag: string, version: number) => write(tag, () => tags.update(tag, version)),
    delete: (tag: string) => write(tag, () => tags.delete(tag)),
  });
}

/** The main line is a branch like any other to LanceDB: a handle on it is guarded, whichever way it was come by. */
function guardBranches(operation: OpenWork, id: string, branches: Branches): Branches {
  const guarded = async (open: () => Promise<Table>, isPinned: boolean) =>
    guardTable(operation, id, await HandleView.open(operation, id, open, isPinned));
  return withMembers(branches, {
    create: (...args: Parameters<Branches["create"]>) => guarded(() => branches.create(...args), false),
    checkout: (...args: Parameters<Branches["checkout"]>) =>
      guarded(() => branches.checkout(...args), args[1] !== undefined),
  });
}

/** A job commits when it is done: the end of the work waits for it, whether or not the caller does. */
async function backgroundJob(
  operation: OpenWork,
  id: string,
  view: HandleView,
  kinds: readonly CommitKind[],
  start: () => Promise<Job>,
): Promise<Job> {
  const started = Promise.withResolvers<Job>();
  const finished = commitOnHandle(
    operation,
    id,
    view,
    kinds,
    async () => {
      const job = await start();
      started.resolve(job);
      await job.wait();
    },
    "all",
  );
  finished.catch((error: unknown) => started.reject(error));
  return started.promise;
}

/** A write to a table whose result names the version that it committed. */
function commitWithVersion<R extends { version: number }>(
  operation: OpenWork,
  table: string,
  view: HandleView,
  kinds: readonly CommitKind[],
  run: () => Promise<R>,
  mark?: CommitMark,
): Promise<R> {
  return operation.write({
    table,
    intent: async () => {
      await view.refresh();
      return { step: "commit", table, kinds, above: await operation.headOf(table), several: false, mark };
    },
    run,
    outcome: (result) => ({ versions: [result.version] }),
  });
}

/** Commits that move rows and change none: whoever made them, going back behind them loses nothing. */
const MOVES: readonly CommitKind[] = ["reserveFragments", "rewrite"];

/**
 * A write whose result names no version. `one`: the newest commit of its kind up to the handle's own version is
 * ours. `all`: all of them, but of an index the handle's own version alone, since others may have made theirs
 * meanwhile. Where it fails, what others cannot lose is ours and nothing else: a commit that came of it all the
 * same is then taken for somebody else's, and reported.
 */
function commitOnHandle<R>(
  operation: OpenWork,
  table: string,
  view: HandleView,
  kinds: readonly CommitKind[],
  run: () => Promise<R>,
  makes: "one" | "all" = "one",
): Promise<R> {
  let above = 0;
  return operation.write({
    table,
    intent: async () => {
      await view.refresh();
      above = await operation.headOf(table);
      return { step: "commit", table, kinds, above, several: makes === "all" };
    },
    run,
    failure: async () => {
      const moves = kinds.filter((kind) => MOVES.includes(kind));
      if (moves.length === 0) return { versions: [] };
      const made = await madeSince(operation, table, above, await operation.headOf(table));
      return { versions: made.filter(({ kind }) => moves.includes(kind)).map(versionOf) };
    },
    outcome: async () => {
      const own = await view.table.version();
      const made = await madeSince(operation, table, above, own);
      const fitting = made.filter(({ kind }) => kinds.includes(kind));
      const ours =
        makes === "one"
          ? fitting.slice(0, 1)
          : fitting.filter(({ kind, version }) => kind !== "createIndex" || version === own);
      return { versions: ours.map(versionOf) };
    },
  });
}

interface Made {
  readonly version: number;
  readonly kind: CommitKind;
}

const versionOf = ({ version }: Made): number => version;

/** The commits in a stretch of versions, newest first. */
async function madeSince(operation: OpenWork, table: string, above: number, newest: number): Promise<Made[]> {
  const directory = await operation.directoryOf(table);
  if (newest <= above || !directory) return [];
  const dataset = join(operation.database, directory);
  const fresh = (await listManifests(dataset)).filter(({ version }) => version > above && version <= newest);
  return fresh.flatMap((name) => {
    const kind = commitKindOf(dataset, name);
    return kind === undefined ? [] : { version: name.version, kind };
  });
}

/**
 * An object that is its target but for a few members. Methods run on the target itself, so that private
 * fields work; `instanceof`, getters and printing are the target's. A member that the target lacks, as those of
 * later versions of LanceDB, is lacking here too.
 */
export function withMembers<T extends object>(target: T, members: Partial<Record<keyof T, unknown>>): T {
  const bound = new Map<PropertyKey, unknown>();
  return new Proxy(target, {
    get(_target, key) {
      if (Object.hasOwn(members, key) && key in target) return members[key as keyof T];
      if (bound.has(key)) return bound.get(key);
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== "function" || key === "constructor") return value;
      const method = value.bind(target);
      bound.set(key, method);
      return method;
    },
  });
}
