import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Connection, connect, Index } from "@lancedb/lancedb";
import fc from "fast-check";
import { expect, test } from "vitest";
import { BackupManager, BackupStrategy } from "../../src/index.ts";
import { leftovers } from "../support/database.ts";
import { sampleRows, sampleSchema } from "../support/sample.ts";

// Random work under random failures, against a model that is a map of rows for each table. A run is a list of
// episodes on one database; what fails must leave everything as it was, what succeeds everything as it should be.

const NIGHTLY = process.env["NIGHTLY"] === "1";
const SEED = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);

const TABLES = ["a", "b", "c"] as const;
type Table = (typeof TABLES)[number];

/** Texts by id, for each table that there is. */
type Model = Map<Table, Map<number, string>>;

type Step =
  | {
      readonly do: "add" | "upsert" | "overwrite" | "create" | "recreate";
      readonly table: Table;
      readonly ids: number[];
    }
  | { readonly do: "delete" | "update"; readonly table: Table; readonly rest: number }
  | {
      readonly do: "drop" | "index" | "column" | "optimize" | "cleanup" | "goBack" | "tag";
      readonly table: Table;
    };

interface Episode {
  readonly strategy: BackupStrategy;
  /** `guarded`: withBackup. `explicit`: createBackup, the steps by plain LanceDB, perhaps restoreBackup. */
  readonly way: "guarded" | "explicit";
  readonly steps: readonly Step[];
  /** Before which step it fails; beyond the last one: it succeeds. */
  readonly failAt: number;
  /** Whether the steps run one after the other or all at once, where they can. */
  readonly named: boolean;
}

const table = fc.constantFrom(...TABLES);
const ids = fc.uniqueArray(fc.nat({ max: 40 }), { minLength: 1, maxLength: 8 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom("add" as const, "upsert" as const), table, ids }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom("overwrite" as const, "create" as const, "recreate" as const),
      table,
      ids,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom("delete" as const, "update" as const),
      table,
      rest: fc.nat({ max: 4 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom(
        "drop" as const,
        "index" as const,
        "column" as const,
        "optimize" as const,
        "cleanup" as const,
        "goBack" as const,
        "tag" as const,
      ),
      table,
    }),
  },
);
const episode: fc.Arbitrary<Episode> = fc.record({
  strategy: fc.constantFrom(...Object.values(BackupStrategy)),
  way: fc.constantFrom("guarded" as const, "guarded" as const, "guarded" as const, "explicit" as const),
  steps: fc.array(step, { minLength: 1, maxLength: 8 }),
  failAt: fc.nat({ max: 12 }),
  named: fc.boolean(),
});

test(`random work under random failures (SEED=${SEED})`, async () => {
  await fc.assert(fc.asyncProperty(fc.array(episode, { minLength: 1, maxLength: 6 }), runEpisodes), {
    seed: SEED,
    numRuns: NIGHTLY ? 1500 : 25,
  });
});

async function runEpisodes(episodes: readonly Episode[]): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "lancedb-backup-property-"));
  const [uri, backupDir] = [join(directory, "db"), join(directory, "backups")];
  const log = () => undefined;
  const manager = new BackupManager({
    uri,
    backupDir,
    logger: { debug: log, info: log, warn: log, error: log },
  });
  const raw = await connect(uri);
  let model: Model = new Map();
  try {
    await apply(raw, model, { do: "create", table: "a", ids: [1, 2, 3] });
    await apply(raw, model, { do: "create", table: "b", ids: [4] });
    for (const one of episodes) {
      model = await (one.way === "guarded"
        ? guarded(manager, raw, model, one)
        : explicit(manager, raw, model, one));
      expect(await contentOf(raw)).toEqual(plain(model));
      expect(await manager.listBackups()).toEqual([]);
      expect(leftovers({ uri, backupDir }).filter((path) => !path.endsWith("/aside/manifests"))).toEqual([]);
    }
  } finally {
    raw.close();
    await manager[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  }
}

const onPurpose = new Error("on purpose");

async function guarded(manager: BackupManager, raw: Connection, model: Model, one: Episode): Promise<Model> {
  const next = copyOf(model);
  const fails = one.failAt <= one.steps.length;
  const before = await versionsOf(raw);
  let highest = before;
  const work = async (db: Connection) => {
    for (const [index, step] of one.steps.entries()) {
      if (index === one.failAt) throw onPurpose;
      await apply(db, next, step);
      expect(await contentOf(db)).toEqual(plain(next)); // the work sees what it did
      highest = highestOf(highest, await versionsOf(raw));
    }
    if (fails) throw onPurpose;
  };
  const outcome = manager.withBackup(one.strategy, work, one.named ? { tables: [...TABLES] } : {});
  if (!fails) {
    await outcome;
    return next;
  }
  await expect(outcome).rejects.toBe(onPurpose);
  const after = await versionsOf(raw);
  for (const name of model.keys()) expect(after.get(name)).toBeGreaterThanOrEqual(highest.get(name) ?? 0);
  return model;
}

async function explicit(manager: BackupManager, raw: Connection, model: Model, one: Episode): Promise<Model> {
  const next = copyOf(model);
  const id = await manager.createBackup(one.strategy, one.named ? { tables: [...TABLES] } : {});
  for (const step of one.steps) await apply(raw, next, step);
  if (one.failAt <= one.steps.length) {
    await manager.restoreBackup(id);
    if (one.named) next.clear(); // absent tables were named as such; without names, new tables are left alone
    for (const [name, rows] of copyOf(model)) next.set(name, rows);
  }
  await manager.cleanupBackup(id);
  return next;
}

/** Does a step to a database and to the model; a step on a table that is not there does nothing to either. */
async function apply(db: Connection, model: Model, step: Step): Promise<void> {
  const rows = model.get(step.table);
  if (step.do === "create") {
    if (rows) return;
    await db.createTable(step.table, sampleRows(0, 0), { schema: sampleSchema });
    model.set(step.table, new Map());
    return apply(db, model, { ...step, do: "upsert" });
  }
  if (!rows) return;
  const live = await db.openTable(step.table);
  const data = "ids" in step ? step.ids.flatMap((id) => sampleRows(id, 1, 3)) : [];
  const put = (target: Map<number, string>) => {
    for (const row of data) target.set(row.id, row.text);
  };
  switch (step.do) {
    case "add": {
      const fresh = data.filter((row) => !rows.has(row.id));
      if (fresh.length > 0) await live.add(fresh);
      for (const row of fresh) rows.set(row.id, row.text);
      break;
    }
    case "upsert":
      await live.mergeInsert("id").whenMatchedUpdateAll().whenNotMatchedInsertAll().execute(data);
      put(rows);
      break;
    case "overwrite":
      await live.add(data, { mode: "overwrite" });
      rows.clear();
      put(rows);
      break;
    case "recreate":
      await db.dropTable(step.table);
      await db.createTable(step.table, data, { schema: sampleSchema });
      rows.clear();
      put(rows);
      break;
    case "delete":
      await live.delete(`id % 5 = ${step.rest}`);
      for (const id of rows.keys()) if (id % 5 === step.rest) rows.delete(id);
      break;
    case "update":
      await live.update({ where: `id % 5 = ${step.rest}`, values: { text: `rest ${step.rest}` } });
      for (const id of rows.keys()) if (id % 5 === step.rest) rows.set(id, `rest ${step.rest}`);
      break;
    case "drop":
      await db.dropTable(step.table);
      model.delete(step.table);
      break;
    case "index":
      await live.createIndex("id", { config: Index.btree(), replace: true });
      break;
    case "column":
      await live.alterColumns([{ path: "score", nullable: true }]);
      break;
    case "optimize":
      await live.optimize();
      break;
    case "cleanup":
      await removeTags(live);
      await live.optimize({ cleanupOlderThan: new Date(Date.now() + 60_000), deleteUnverified: true });
      break;
    case "goBack":
      await live.checkout(await live.version()); // a commit that changes nothing
      await live.restore();
      break;
    case "tag":
      await removeTags(live);
      await (await live.tags()).create("mine", await live.version());
      break;
  }
}

/** LanceDB refuses to clean up while an old version is tagged. */
async function removeTags(live: import("@lancedb/lancedb").Table): Promise<void> {
  const tags = await live.tags();
  for (const tag of Object.keys(await tags.list())) await tags.delete(tag);
}

async function contentOf(db: Connection): Promise<unknown> {
  const content: Model = new Map();
  for (const name of (await db.tableNames()) as Table[]) {
    const rows = await (await db.openTable(name)).query().toArray();
    const texts = new Map(rows.map((row) => [Number(row.id), String(row.text)]));
    expect(texts.size).toBe(rows.length);
    content.set(name, texts);
  }
  return plain(content);
}

async function versionsOf(db: Connection): Promise<Map<string, number>> {
  const names = await db.tableNames();
  return new Map(
    await Promise.all(names.map(async (name) => [name, await (await db.openTable(name)).version()] as const)),
  );
}

function highestOf(a: Map<string, number>, b: Map<string, number>): Map<string, number> {
  return new Map(
    [...a.keys(), ...b.keys()].map((name) => [name, Math.max(a.get(name) ?? 0, b.get(name) ?? 0)]),
  );
}

function copyOf(model: Model): Model {
  return new Map([...model].map(([name, rows]) => [name, new Map(rows)]));
}

function plain(model: Model): unknown {
  return [...model].sort().map(([name, rows]) => [name, [...rows].sort(([a], [b]) => a - b)]);
}
