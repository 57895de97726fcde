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

/** Commits that move rows and change none: whoever made them, going back behind them loses nothing. */
const MOVES: readonly CommitKind[] = ["reserveFragments", "rewrite"];

/** What is done to rows outside of versions. A table that has any is refused when it is captured. */
const LSM = ["unsetLsmWriteSpec", "closeLsmWriters", "flushLsm", "compactLsm", "checkpointLsm"] as const;

/**
 * A LanceDB table whose every write is captured, announced and counted as the operation's own. Writes on a
 * branch are not the guard's: they leave the main line alone.
 */
export function guardTable(operation: OpenWork, id: string, view: HandleView): Table {
  return new TableGuard(operation, id, view).guarded();
}

/** @param view of the handle that the materialized one is on */
export function guardMaterialized(
  operation: OpenWork,
  id: string,
  materialized: MaterializedView,
  view: HandleView,
): MaterializedView {
  const guard = new TableGuard(operation, id, view);
  const guarded = guard.guarded();
  return withMembers(materialized, {
    table: () => guarded,
    refresh: (options: Parameters<MaterializedView["refresh"]>[0]) =>
      guard.onHandle(VIEW, () => materialized.refresh(options), "all"),
  });
}

class TableGuard {
  readonly #operation: OpenWork;
  readonly #id: string;
  readonly #view: HandleView;

  constructor(operation: OpenWork, id: string, view: HandleView) {
    this.#operation = operation;
    this.#id = id;
    this.#view = view;
  }

  guarded(): Table {
    const view = this.#view;
    const { table } = view;
    const branches = async () => this.#branches(await table.branches());
    if (branchOf(table) !== null) return withMembers(table, { branches });
    const update = (...args: Parameters<Table["update"]>) =>
      this.#versioned(["update"], () => table.update(...args));
    const members: Partial<Table> = {
      add: (data, options) => this.#versioned(APPEND, () => table.add(data, options), markOfAppend(data)),
      update: update as Table["update"],
      delete: (predicate) =>
        this.#versioned(["delete"], () => table.delete(predicate), markOfDelete(predicate)),
      mergeInsert: (on) => this.#merge(table.mergeInsert(on)),
      addColumns: (columns) => this.#versioned(COLUMNS, () => table.addColumns(columns)),
      alterColumns: (changes) => this.#versioned(COLUMNS, () => table.alterColumns(changes)),
      dropColumns: (names) => this.#versioned(COLUMNS, () => table.dropColumns(names)),
      updateFieldMetadata: (updates) => this.#versioned(COLUMNS, () => table.updateFieldMetadata(updates)),
      setUnenforcedPrimaryKey: (columns) =>
        this.onHandle(COLUMNS, () => table.setUnenforcedPrimaryKey(columns)),
      refreshColumn: (column) => this.onHandle(VALUES, () => table.refreshColumn(column), "all"),
      refreshColumnAsync: (column) => this.#background(VALUES, () => table.refreshColumnAsync(column)),
      refreshMaterializedView: (full, source) =>
        this.onHandle(VIEW, () => table.refreshMaterializedView(full, source), "all"),
      createIndex: (column, options) => this.onHandle(INDEX, () => table.createIndex(column, options)),
      createIndexAsync: (column, options) =>
        this.#background(INDEX, () => table.createIndexAsync(column, options)),
      dropIndex: (name) => this.onHandle(INDEX, () => table.dropIndex(name)),
      optimize: (options) => this.onHandle(OPTIMIZE, () => table.optimize(options), "all"),
      checkout: (version) => view.checkout(version),
      checkoutLatest: () => view.checkoutLatest(),
      restore: () => this.onHandle(["restore"], () => view.restore()),
      tags: async () => this.#tags(await table.tags()),
      branches,
      setLsmWriteSpec: async () => {
        throw new UnsupportedError(
          `Table ${this.#id} cannot change to the LSM write path inside guarded work: its rows would lie outside every version.`,
        );
      },
      ...Object.fromEntries(LSM.map((name) => [name, this.#captured(name)])),
    };
    // `LocalTable` alone has this one: it gives every manifest its new name.
    const migrate = Reflect.get(table, "migrateManifestPathsV2") as (() => Promise<void>) | undefined;
    if (migrate) {
      Object.assign(members, { migrateManifestPathsV2: () => this.onHandle([], () => migrate.call(table)) });
    }
    return withMembers(table, members);
  }

  #captured(name: string): (...args: unknown[]) => Promise<unknown> {
    const { table } = this.#view;
    return (...args) =>
      this.#operation.call(async () => {
        await this.#operation.capture(this.#id);
        return Reflect.apply(Reflect.get(table, name) as (...given: unknown[]) => unknown, table, args);
      });
  }

  /** Every step answers with a builder, those too that other versions of LanceDB have: only a guarded one is handed on. */
  #merge(builder: MergeInsertBuilder): MergeInsertBuilder {
    const step = (name: string) => {
      const next = Reflect.get(builder, name) as (...args: unknown[]) => MergeInsertBuilder;
      return (...args: unknown[]) => this.#merge(Reflect.apply(next, builder, args));
    };
    const execute = (...args: Parameters<MergeInsertBuilder["execute"]>) =>
      this.#versioned(ROWS, () => builder.execute(...args));
    return withMembers(builder, {
      ...Object.fromEntries(stepsOf(builder).map((name) => [name, step(name)])),
      execute,
    });
  }

  #tags(tags: Tags): Tags {
    const table = this.#id;
    const write = <R>(tag: string, run: () => Promise<R>) =>
      this.#operation.write({
        table,
        intent: () => ({ step: "tag", table, tag }),
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
  #branches(branches: Branches): Branches {
    const guarded = async (open: () => Promise<Table>, isPinned: boolean) =>
      guardTable(this.#operation, this.#id, await HandleView.open(this.#operation, this.#id, open, isPinned));
    return withMembers(branches, {
      create: (...args: Parameters<Branches["create"]>) => guarded(() => branches.create(...args), false),
      checkout: (...args: Parameters<Branches["checkout"]>) =>
        guarded(() => branches.checkout(...args), args[1] !== undefined),
    });
  }

  /** A job commits when it is done: the end of the work waits for it, whether or not the caller does. */
  async #background(kinds: readonly CommitKind[], start: () => Promise<Job>): Promise<Job> {
    const started = Promise.withResolvers<Job>();
    const run = async () => {
      const job = await start();
      started.resolve(job);
      await job.wait();
    };
    this.onHandle(kinds, run, "all").catch((error: unknown) => started.reject(error));
    return started.promise;
  }

  /** A write whose result names the version that it committed. */
  #versioned<R extends { version: number }>(
    kinds: readonly CommitKind[],
    run: () => Promise<R>,
    mark?: CommitMark,
  ): Promise<R> {
    const [table, operation] = [this.#id, this.#operation];
    return operation.write({
      table,
      intent: async () => {
        await this.#view.refresh();
        return { step: "commit", table, kinds, above: await operation.headOf(table), several: false, mark };
      },
      run,
      outcome: (result) => ({ versions: [result.version] }),
    });
  }

  /**
   * A write whose result names no version. `one`: the newest commit of its kind up to the handle's own version is
   * ours. `all`: all of them, but of an index the handle's own version alone, since others may have made theirs
   * meanwhile. Where it fails, what others cannot lose is ours and nothing else: a commit that came of it all the
   * same is then taken for somebody else's, and reported.
   */
  onHandle<R>(kinds: readonly CommitKind[], run: () => Promise<R>, makes: "one" | "all" = "one"): Promise<R> {
    const [table, operation] = [this.#id, this.#operation];
    let above = 0;
    return operation.write({
      table,
      intent: async () => {
        await this.#view.refresh();
        above = await operation.headOf(table);
        return { step: "commit", table, kinds, above, several: makes === "all" };
      },
      run,
      failure: async () => {
        const moves = kinds.filter((kind) => MOVES.includes(kind));
        if (moves.length === 0) return { versions: [] };
        const made = await this.#madeSince(above, await operation.headOf(table));
        return { versions: made.filter(({ kind }) => moves.includes(kind)).map(versionOf) };
      },
      outcome: async () => {
        const own = await this.#view.table.version();
        const made = await this.#madeSince(above, own);
        const fitting = made.filter(({ kind }) => kinds.includes(kind));
        const ours =
          makes === "one"
            ? fitting.slice(0, 1)
            : fitting.filter(({ kind, version }) => kind !== "createIndex" || version === own);
        return { versions: ours.map(versionOf) };
      },
    });
  }

  /** The commits in a stretch of versions, newest first. */
  async #madeSince(above: number, newest: number): Promise<Made[]> {
    const directory = await this.#operation.directoryOf(this.#id);
    if (newest <= above || !directory) return [];
    const dataset = join(this.#operation.database, directory);
    const fresh = (await listManifests(dataset)).filter(
      ({ version }) => version > above && version <= newest,
    );
    return fresh.flatMap((name) => {
      const kind = commitKindOf(dataset, name);
      return kind === undefined ? [] : { version: name.version, kind };
    });
  }
}

/** Null for the main line, and where LanceDB is from before it had branches. */
function branchOf(table: Table): string | null {
  return "currentBranch" in table ? table.currentBranch() : null;
}

function stepsOf(builder: MergeInsertBuilder): string[] {
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(builder));
  return names.filter((name) => name !== "constructor" && name !== "execute");
}

interface Made {
  readonly version: number;
  readonly kind: CommitKind;
}

const versionOf = ({ version }: Made): number => version;

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
