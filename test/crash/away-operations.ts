import { cpSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { connect } from "@lancedb/lancedb";
import { BackupManager } from "../../src/guard/backup-manager.ts";
import { BackupStrategy } from "../../src/guard/backup-strategy.ts";
import { PeriodicBackupManager } from "../../src/periodic/periodic-manager.ts";
import { applyDelta, loadBackup } from "../../src/periodic/replay/replay-file.ts";
import { restoreLatest } from "../../src/periodic/replay/restore-latest.ts";
import { Repository } from "../../src/repository/repository.ts";
import { rows } from "./fixture.ts";
import { type DatabaseView, observe } from "./observe.ts";
import { silent } from "./silent.ts";

/** Directories of one run, all below one. */
export interface AwayPlace {
  readonly root: string;
  readonly database: string;
  readonly repository: string;
  readonly periodic: string;
  readonly guard: string;
  /** Around what is restored. */
  readonly targets: string;
}

export type Root = Exclude<keyof AwayPlace, "root">;

export interface Operation {
  /** The roots that it uses. */
  readonly roots: readonly Root[];
  /** Brings the place to where the operation starts: once for all runs, unless a copy of the database is another one to it. */
  readonly prepare?: (place: AwayPlace) => Promise<unknown>;
  readonly preparedEachTime?: boolean;
  readonly run: (place: AwayPlace) => Promise<unknown>;
  /**
   * What is wrong when the operation has ended and every root is back, in words.
   *
   * @param ok it reported success.
   */
  readonly check: (place: AwayPlace, ok: boolean, result: unknown) => Promise<string[]>;
}

export function placeAt(root: string): AwayPlace {
  const at = (name: string) => join(root, name);
  return {
    root,
    database: at("db"),
    repository: at("repository"),
    periodic: at("periodic"),
    guard: at("guard"),
    targets: at("targets"),
  };
}

const SMALL = 6;

/** Two tables and one in a namespace, with history, an index and a tag; all directories are there. */
export async function makePlace(place: AwayPlace): Promise<void> {
  for (const path of [place.database, place.periodic, place.guard, place.targets])
    mkdirSync(path, { recursive: true });
  const db = await connect(place.database);
  await db.createNamespace(["ns"]);
  await db.createTable("n", rows(0, SMALL), ["ns"]);
  const a = await db.createTable("a", rows(0, SMALL));
  await a.add(rows(SMALL, 2));
  await (await a.tags()).create("first", 1);
  const b = await db.createTable("b", rows(0, SMALL));
  await b.delete("id = 1");
  db.close();
}

export function copyPlace(from: AwayPlace, to: AwayPlace): void {
  cpSync(from.root, to.root, { recursive: true, verbatimSymlinks: true });
}

async function change(place: AwayPlace): Promise<void> {
  const db = await connect(place.database);
  await (await db.openTable("a")).add(rows(50, 2));
  await (await db.openTable("b")).delete("id = 2");
  db.close();
}

const openRepository = (place: AwayPlace) => Repository.open(place.repository, { logger: silent });

async function initRepository(place: AwayPlace): Promise<Repository> {
  return Repository.init(place.repository, { logger: silent });
}

async function withSnapshot(place: AwayPlace): Promise<void> {
  const repository = await initRepository(place);
  await repository.backup({ source: place.database });
  await change(place);
}

const sameAs = (now: DatabaseView, wanted: DatabaseView, what: string) =>
  isDeepStrictEqual(now, wanted)
    ? []
    : [`${what} shows ${Object.keys(now)} and should show ${Object.keys(wanted)}, with all their rows`];

const rowsIn = (view: DatabaseView) =>
  Object.fromEntries(Object.entries(view).map(([table, { rows }]) => [table, rows]));

const sameRows = (now: DatabaseView, wanted: DatabaseView, what: string) =>
  isDeepStrictEqual(rowsIn(now), rowsIn(wanted))
    ? []
    : [`${what} has not the rows of ${Object.keys(wanted)}`];

/** Every snapshot is whole, the newest has the database's tables where it should, the next backup and prune work. */
async function checkRepository(place: AwayPlace, hasNewest: boolean): Promise<string[]> {
  const problems: string[] = [];
  const repository = await openRepository(place);
  for (const { snapshot, check, ok, details } of await repository.verify())
    if (!ok) problems.push(`verify: ${snapshot} ${check}: ${details}`);
  const wanted = await observe(place.database);
  if (hasNewest) {
    const { tables } = await repository.get("latest");
    for (const [id, { rows }] of Object.entries(wanted)) {
      const found = tables.find((table) => table.id === id)?.rows;
      if (found !== rows.length) problems.push(`the snapshot has ${found} rows of ${rows.length} of ${id}`);
    }
  }
  await repository.backup({ source: place.database, lockTimeoutMs: 2_000 });
  const { postponed } = await repository.prune({ keepLast: 1, graceHours: 0, lockTimeoutMs: 2_000 });
  if (postponed !== undefined) problems.push(`the next prune: ${postponed}`);
  const target = join(place.root, "checked");
  await repository.restore("latest", { target });
  return [...problems, ...sameAs(await observe(target), wanted, "what the next backup and prune left")];
}

const managerOf = (place: AwayPlace) =>
  new BackupManager({ uri: place.database, backupDir: place.guard, logger: silent, lockTimeoutMs: 2_000 });

const periodicOf = (place: AwayPlace, more = {}) =>
  new PeriodicBackupManager({
    uri: place.database,
    backupDir: place.periodic,
    logger: silent,
    incremental: true,
    keep: 1,
    fileFormat: "arrow",
    primaryKey: { a: "id", b: "id", ns$n: "id" },
    ...more,
  });

/** The files lead to what is in the database, at once where they should, after a further backup in any case. */
async function checkPeriodic(place: AwayPlace, isNewest: boolean, before: boolean): Promise<string[]> {
  const wanted = await observe(place.database);
  const problems: string[] = [];
  const check = async (what: string) => {
    const target = join(place.root, `checked ${what}`);
    await restoreLatest(place.periodic, target, { logger: silent });
    const shown = await observe(target);
    const same = isDeepStrictEqual(rowsIn(shown), rowsIn(wanted));
    const there = Object.keys(shown).length;
    if (isNewest || what !== "the files") {
      if (!same) problems.push(`${what} lead to other rows, of ${Object.keys(shown)}`);
    } else if (there < Object.keys(wanted).length) problems.push(`${what} lead to ${there} tables`);
  };
  if (isNewest || before) await check("the files");
  await periodicOf(place).backupNow();
  await check("the files after the next backup");
  return problems;
}

const add = async (place: AwayPlace, strategy: BackupStrategy, fails: boolean) =>
  managerOf(place).withBackup(strategy, async (db) => {
    const a = await db.openTable("a");
    await a.add(rows(100, 3));
    await a.delete("id = 0");
    if (fails) throw new Error("on purpose");
  });

const views = new Map<string, Promise<{ before: DatabaseView; after: DatabaseView }>>();

/** What guarded work makes of the database: found out once. */
function viewsOf(place: AwayPlace): Promise<{ before: DatabaseView; after: DatabaseView }> {
  const known = views.get("guarded");
  if (known) return known;
  const made = (async () => {
    const other = placeAt(`${place.root}-views`);
    await makePlace(other);
    const before = await observe(other.database);
    await add(other, BackupStrategy.LanceVersion, false);
    return { before, after: await observe(other.database) };
  })();
  views.set("guarded", made);
  return made;
}

async function checkGuarded(place: AwayPlace, ok: boolean, fails: boolean): Promise<string[]> {
  const { before, after } = await viewsOf(place);
  const manager = managerOf(place);
  const { entries } = await manager.recover();
  const problems = entries
    .filter(({ action }) => action !== "rolled-back" && action !== "swept")
    .map(({ id, action, error }) => `${id}: ${action}, ${error?.message}`);
  const now = await observe(place.database);
  const wasDone = isDeepStrictEqual(now, after);
  if (!wasDone && !isDeepStrictEqual(now, before))
    problems.push("the tables are as neither before nor after");
  if (wasDone && fails) problems.push("the work failed, and its rows are there");
  if (ok && !wasDone) problems.push("success, and the rows are not there");
  await manager.withBackup(BackupStrategy.DirectoryCopy, async (db) => {
    await (await db.openTable("a")).add(rows(900, 1));
  });
  return [...problems, ...leftoversOf(place)];
}

function leftoversOf(place: AwayPlace): string[] {
  // What could not be removed from `staging/` while that was away is swept when the process has ended.
  const rooms = ["journal", "aside"].map((room) => join(place.database, ".lancedb-backup", room));
  return [...rooms, place.guard].flatMap((room) =>
    existsSync(room) ? readdirSync(room).map((name) => `left behind: ${join(room, name)}`) : [],
  );
}

function guarded(strategy: BackupStrategy, fails: boolean): Operation {
  return {
    roots: strategy === BackupStrategy.DirectoryCopy ? ["database", "guard"] : ["database"],
    run: (place) => add(place, strategy, fails),
    check: (place, ok) => checkGuarded(place, ok, fails),
  };
}

function explicit(strategy: BackupStrategy): Operation {
  return {
    roots: strategy === BackupStrategy.DirectoryCopy ? ["database", "guard"] : ["database"],
    run: (place) => managerOf(place).createBackup(strategy),
    check: async (place, ok, id) => {
      const manager = managerOf(place);
      const before = await observe(place.database);
      if (!ok) {
        await manager.recover();
        const next = await manager.createBackup(strategy);
        await manager.cleanupBackup(next);
        return sameAs(await observe(place.database), before, "the database");
      }
      const db = await connect(place.database);
      await db.dropTable("a");
      await (await db.openTable("b")).add(rows(70, 2));
      await db.dropTable("n", ["ns"]);
      db.close();
      await manager.restoreBackup(String(id));
      // lance-version keeps the newest version alone, and so no tag on an older one of a table that is dropped.
      return sameRows(await observe(place.database), before, "the database that was restored");
    },
  };
}

/**
 * Whatever a restore to a new place said: it is whole there, or not there at all. Directories around the target that are
 * missing when it begins are made, as they always are.
 */
async function checkTarget(place: AwayPlace, ok: boolean): Promise<string[]> {
  const found = [place.targets, `${place.targets}.made`]
    .map((around) => join(around, "restored"))
    .find((path) => existsSync(path));
  if (found === undefined) return ok ? ["success, and there is nothing at the target"] : [];
  return sameRows(await observe(found), await observe(place.database), "what was restored");
}

const target = (place: AwayPlace) => join(place.targets, "restored");

export const operations: Readonly<Record<string, Operation>> = {
  "a first backup": {
    roots: ["database", "repository"],
    prepare: initRepository,
    run: async (place) => (await openRepository(place)).backup({ source: place.database }),
    check: (place, ok) => checkRepository(place, ok),
  },
  "a backup": {
    roots: ["database", "repository"],
    preparedEachTime: true,
    prepare: withSnapshot,
    run: async (place) => (await openRepository(place)).backup({ source: place.database }),
    check: (place, ok) => checkRepository(place, ok),
  },
  prune: {
    roots: ["repository"],
    preparedEachTime: true,
    prepare: async (place) => {
      await withSnapshot(place);
      await (await openRepository(place)).backup({ source: place.database });
    },
    run: async (place) => (await openRepository(place)).prune({ keepLast: 1, graceHours: 0 }),
    check: async (place, ok) => {
      const list = await (await openRepository(place)).list();
      const problems = ok && list.length !== 1 ? [`success, and ${list.length} snapshots are there`] : [];
      return [...problems, ...(await checkRepository(place, true))];
    },
  },
  verify: {
    roots: ["repository"],
    preparedEachTime: true,
    prepare: withSnapshot,
    run: async (place) => (await openRepository(place)).verify(),
    check: async (place, ok, result) => {
      const verdicts = ok ? (result as readonly { ok: boolean }[]) : [];
      // Damage is told by a result: what cannot be read meanwhile is none.
      const isShort = ok && verdicts.length < 3 && verdicts.every((verdict) => verdict.ok);
      const problems = isShort ? [`success with ${verdicts.length} results`] : [];
      return [...problems, ...(await checkRepository(place, false))];
    },
  },
  restore: {
    roots: ["repository", "targets"],
    prepare: async (place) => void (await (await initRepository(place)).backup({ source: place.database })),
    run: async (place) => (await openRepository(place)).restore("latest", { target: target(place) }),
    check: checkTarget,
  },
  "restore in place": {
    roots: ["database", "repository"],
    prepare: withSnapshot,
    run: async (place) =>
      (await openRepository(place)).restore("latest", { target: place.database, mode: "in-place" }),
    check: async (place, ok) => {
      const repository = await openRepository(place);
      const other = join(place.root, "checked");
      await repository.restore("latest", { target: other });
      const wanted = await observe(other);
      if (!ok)
        await repository.restore("latest", {
          target: place.database,
          mode: "in-place",
          lockTimeoutMs: 2_000,
        });
      return sameAs(await observe(place.database), wanted, "the database that was restored");
    },
  },
  "guarded work, lance-version": guarded(BackupStrategy.LanceVersion, false),
  "guarded work, directory-copy": guarded(BackupStrategy.DirectoryCopy, false),
  "guarded work that fails, lance-version": guarded(BackupStrategy.LanceVersion, true),
  "guarded work that fails, directory-copy": guarded(BackupStrategy.DirectoryCopy, true),
  "createBackup, lance-version": explicit(BackupStrategy.LanceVersion),
  "createBackup, directory-copy": explicit(BackupStrategy.DirectoryCopy),
  "a first periodic backup": {
    roots: ["database"], // the backup directory is made with it
    run: (place) => periodicOf(place).backupNow(),
    check: (place, ok) => checkPeriodic(place, ok, false),
  },
  "a periodic full that removes the one before": {
    roots: ["database", "periodic"],
    preparedEachTime: true,
    prepare: async (place) => {
      await periodicOf(place).backupNow();
      await change(place);
    },
    run: (place) => periodicOf(place).backupFull(),
    check: (place, ok) => checkPeriodic(place, ok, true),
  },
  "a periodic delta": {
    roots: ["database", "periodic"],
    preparedEachTime: true,
    prepare: async (place) => {
      await periodicOf(place).backupNow();
      await change(place);
    },
    run: (place) => periodicOf(place).backupDelta(),
    check: (place, ok) => checkPeriodic(place, ok, true),
  },
  restoreLatest: {
    roots: ["periodic", "targets"],
    prepare: (place) => periodicOf(place).backupNow(),
    run: (place) => restoreLatest(place.periodic, target(place), { logger: silent }),
    check: checkTarget,
  },
  applyDelta: {
    roots: ["targets"],
    preparedEachTime: true,
    prepare: async (place) => {
      (await loadBackup(await periodicOf(place).backupNow(), target(place), { logger: silent })).close();
      await change(place);
      await periodicOf(place).backupDelta();
    },
    run: (place) => applyDelta(target(place), deltaOf(place), { logger: silent }),
    check: async (place, ok) => {
      if (!ok) await applyDelta(target(place), deltaOf(place), { logger: silent });
      return sameRows(await observe(target(place)), await observe(place.database), "the database");
    },
  },
  scrub: {
    roots: ["database", "repository"],
    preparedEachTime: true,
    prepare: async (place) => {
      await withSnapshot(place);
      await (await openRepository(place)).backup({ source: place.database });
    },
    run: async (place) => (await openRepository(place)).scrub(place.database, { heal: true }),
    check: async (place, _ok, result) => {
      const { damage = [] } = (result ?? {}) as { damage?: readonly unknown[] };
      const problems = damage.map((found) => `said to be damaged: ${JSON.stringify(found)}`);
      return [...problems, ...(await checkRepository(place, true))];
    },
  },
};

function deltaOf(place: AwayPlace): string {
  return join(place.periodic, readdirSync(place.periodic).find((name) => name.includes("_delta_")) ?? "");
}
