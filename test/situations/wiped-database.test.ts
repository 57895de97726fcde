import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { connect } from "@lancedb/lancedb";
import {
  PeriodicBackupManager,
  type PeriodicBackupOptions,
  Repository,
  restoreLatest,
  ShrunkError,
} from "lancedb-backup";
import { describe, expect, test } from "vitest";
import { reportPage } from "../../src/cli/report/report-page.ts";
import type { Progress, PruneReport, TakenSnapshot } from "../../src/repository/index.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { run, runJson } from "../cli/cli.ts";
import { putSnapshot } from "../repository/fixture.ts";
import { newDirectory, recordingLogger } from "../support/database.ts";

// An application wipes its database, and the backups go on: they must not push the good one out in silence.

const ROWS = 10_000;
const rows = (count: number) => Array.from({ length: count }, (_, id) => ({ id }));

async function newPlace() {
  const directory = await newDirectory();
  const uri = join(directory, "db");
  const vault = join(directory, "vault");
  const db = await connect(uri);
  for (const name of ["docs", "words", "users"]) await db.createTable(name, rows(ROWS));
  const { logger, logged } = recordingLogger();
  const repository = await Repository.init(vault, { logger });
  return { directory, uri, vault, db, repository, logged, env: { LANCEDB_BACKUP_REPO: vault } };
}

type Place = Awaited<ReturnType<typeof newPlace>>;

/** Two tables are dropped, and the third is overwritten with none. */
async function wipe({ db }: Place): Promise<void> {
  await db.dropTable("docs");
  await db.dropTable("words");
  const users = await db.openTable("users");
  await db.createTable("users", rows(1), { mode: "overwrite" });
  await (await db.openTable("users")).delete("true");
  users.close();
}

const WIPED = [
  { table: "docs", rowsBefore: ROWS, rows: 0, isGone: true },
  { table: "users", rowsBefore: ROWS, rows: 0, isGone: false },
  { table: "words", rowsBefore: ROWS, rows: 0, isGone: true },
];

test("a snapshot of a wiped database says what is gone, in the result, to the logger and as progress", async () => {
  const place = await newPlace();
  const first = await place.repository.backup({ source: place.uri });
  expect(first.shrunk).toBeUndefined();
  await wipe(place);
  const told: Progress[] = [];
  const second = await place.repository.backup({ source: place.uri, onProgress: (each) => told.push(each) });
  expect(second.shrunk).toEqual(WIPED);
  expect(told.filter(({ shrunk }) => shrunk)).toMatchObject([{ phase: "capture", shrunk: WIPED }]);
  const warnings = place.logged.filter(({ level }) => level === "warn");
  expect(warnings).toMatchObject([{ meta: { before: `snapshot ${first.id}` } }]);
  expect(String(warnings[0]?.meta?.["tables"])).toContain("docs had 10,000 rows and is gone");
  expect(String(warnings[0]?.meta?.["tables"])).toContain("users had 10,000 rows and has 0");
});

test("the command says so in text and JSON; asked to fail, it makes no snapshot", async () => {
  const place = await newPlace();
  const { uri, env } = place;
  await runJson(["backup", uri], { env });
  await wipe(place);
  const refused = await run(["backup", uri, "--fail-on-shrink"], { env });
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("without --fail-on-shrink");
  expect(refused.stderr).toContain("docs had 10,000 rows and is gone");
  expect(await runJson(["list"], { env })).toHaveLength(1);

  const text = await run(["backup", uri], { env });
  expect(text.code).toBe(0);
  expect(text.stdout).toContain("docs had 10,000 and is gone.");
  expect(text.stdout).toContain("users had 10,000 and has 0.");
  const again = await runJson<TakenSnapshot>(["backup", uri], { env });
  expect(again.shrunk).toBeUndefined(); // it is as it was in the one before
  const doctor = await run(["doctor", uri], { env });
  expect(doctor.stdout).toContain("table docs had 10,000 rows and was gone");
  const list = await run(["list"], { env });
  expect(list.stdout).toMatch(/: table docs had 10,000 rows and was gone, from snapshot \S+ to \S+\.\n/);
  const page = reportPage({
    ...{ location: place.repository.location, madeAt: new Date(), snapshots: await place.repository.list() },
    ...{ newest: [], stored: undefined, verification: { kind: "", results: [] } },
    retention: { rules: "", plan: { kept: [], removed: [], timeZone: "UTC" } },
  });
  expect(page).toMatch(/Tables that have shrunk.*<li>\S+: table docs had 10,000 rows and was gone, from /s);
});

test("retention keeps the last snapshot from before, says why, and delete removes it", async () => {
  const place = await newPlace();
  const { uri, repository, env } = place;
  const good = await repository.backup({ source: uri });
  await wipe(place);
  const later: TakenSnapshot[] = [];
  for (let turn = 0; turn < 5; turn++) later.push(await repository.backup({ source: uri }));
  const planned = await repository.prune({ keepLast: 3, dryRun: true });
  expect([planned.kept.length, planned.removed.length]).toEqual([4, 2]);
  const text = await run(["prune", "--keep-last", "3", "--dry-run"], { env });
  expect(text.stdout).toMatch(new RegExp(`${good.id}.* keep `));
  const report = await repository.prune({ keepLast: 3, maxAgeDays: 1e-9, maxBackups: 1 });
  expect(report.kept.find(({ snapshot }) => snapshot.id === good.id)?.reasons).toEqual([
    expect.stringMatching(
      /^the last before a table shrank: .*docs had 10,000 rows and was gone.*only delete/,
    ),
  ]);
  expect(report.removed.length).toBeGreaterThan(0);
  for (let turn = 0; turn < 3; turn++) {
    const next: PruneReport = await repository.prune({ keepLast: 1 });
    expect(next.kept.map(({ snapshot }) => snapshot.id)).toContain(good.id);
  }
  const target = join(place.directory, "back");
  await repository.restore(good.id, { target });
  await repository.delete(good.id);
  expect((await repository.prune({ keepLast: 1 })).kept.map(({ snapshot }) => snapshot.id)).toEqual([
    later.at(-1)?.id,
  ]);
});

test("while not all rows are back, a fall is not forgotten with the snapshots that show it", async () => {
  const place = await newPlace();
  const { uri, repository, db } = place;
  const good = await repository.backup({ source: uri });
  await wipe(place);
  const fallen = await repository.backup({ source: uri });
  for (const name of ["docs", "words"]) await db.createTable(name, rows(ROWS));
  await (await db.openTable("users")).add(rows(ROWS * 0.6));
  const partly = await repository.backup({ source: uri });
  for (let turn = 0; turn < 3; turn++) {
    const { kept } = await repository.prune({ keepLast: 1 });
    expect(kept.map(({ snapshot }) => snapshot.id)).toEqual([partly.id, fallen.id, good.id]);
    expect(kept[1]?.reasons).toEqual(["the first after a table shrank: users"]);
  }
});

test("when the rows are back the one from before is as any other", async () => {
  const place = await newPlace();
  const { uri, repository } = place;
  const good = await repository.backup({ source: uri });
  await wipe(place);
  await repository.backup({ source: uri });
  await repository.restore(good.id, { target: uri, mode: "in-place" });
  const back = await repository.backup({ source: uri });
  const { kept } = await repository.prune({ keepLast: 1 });
  expect(kept.map(({ snapshot }) => snapshot.id)).toEqual([back.id]);
});

describe("far fewer", () => {
  test.each([
    [100, 49, true],
    [100, 50, false],
    [99, 0, false],
    [10_000, 5_000, false],
    [10_000, 4_999, true],
  ])("of %i rows %i are left: a warning is %s", async (before, after, wanted) => {
    const { db, repository, uri } = await newPlace();
    await db.createTable("own", rows(before));
    await repository.backup({ source: uri });
    await (await db.openTable("own")).delete(`id >= ${after}`);
    const { shrunk = [] } = await repository.backup({ source: uri });
    expect(shrunk.map(({ table }) => table)).toEqual(wanted ? ["own"] : []);
  });

  test("failOnShrink takes a part of the rows, of however few, and an error tells the numbers", async () => {
    const { db, repository, uri } = await newPlace();
    await db.createTable("own", rows(10));
    await repository.backup({ source: uri });
    await (await db.openTable("own")).delete("id >= 8");
    const error = await repository
      .backup({ source: uri, failOnShrink: 0.1 })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ShrunkError);
    expect(error).toMatchObject({
      code: "SHRUNK",
      tables: [{ table: "own", rowsBefore: 10, rows: 8, isGone: false }],
    });
    await repository.backup({ source: uri, failOnShrink: 0.2 });
    await repository.backup({ source: uri, failOnShrink: true });
    for (const wrong of [1, -0.1, Number.NaN, "yes"]) {
      await expect(repository.backup({ source: uri, failOnShrink: wrong as never })).rejects.toThrow(
        /failOnShrink/,
      );
    }
  });

  test("a snapshot of some tables is no sign that the others are gone, and is passed over by the next whole one", async () => {
    const place = await newPlace();
    const { uri, repository } = place;
    const whole = await repository.backup({ source: uri });
    const part = await repository.backup({ source: uri, tables: ["users"] });
    expect([part.shrunk, part.selection]).toEqual([undefined, ["users"]]);
    expect(
      (await repository.prune({ keepLast: 1, dryRun: true })).removed.map(({ snapshot }) => snapshot.id),
    ).toEqual([whole.id]);
    await wipe(place);
    expect((await repository.backup({ source: uri })).shrunk).toEqual(WIPED);
  });
});

describe("backups that never take all", () => {
  test("a drop that was told once is no fall for ever, where something is always excluded", async () => {
    const { db, repository, uri } = await newPlace();
    const options = { source: uri, exclude: ["users"] };
    await repository.backup({ source: uri });
    await repository.backup(options);
    await db.dropTable("docs");
    await expect(repository.backup({ ...options, failOnShrink: true })).rejects.toMatchObject({
      tables: [{ table: "docs" }],
    });
    expect((await repository.backup(options)).shrunk).toMatchObject([{ table: "docs" }]);
    expect((await repository.backup({ ...options, failOnShrink: true })).shrunk).toBeUndefined();
  });

  test("each table is compared with the last snapshot that tells of it, where they are by table", async () => {
    const { db, repository, uri } = await newPlace();
    const docs = await repository.backup({ source: uri, tables: ["docs"] });
    const users = await repository.backup({ source: uri, tables: ["users"] });
    await (await db.openTable("docs")).delete("true");
    const one = repository.backup({ source: uri, tables: ["docs"], failOnShrink: true });
    await expect(one).rejects.toMatchObject({
      tables: [{ table: "docs", rowsBefore: ROWS, rows: 0 }],
      message: expect.stringContaining(`before: snapshot ${docs.id}`),
    });
    await db.dropTable("users");
    await expect(repository.backup({ source: uri, failOnShrink: true })).rejects.toMatchObject({
      tables: [{ table: "docs" }, { table: "users" }],
      message: expect.stringContaining(`${docs.id}, snapshot ${users.id}`),
    });
  });
});

test("snapshots that were taken before there was such a rule are judged by what their documents say", async () => {
  const vault = join(await newDirectory(), "vault");
  await Repository.init(vault);
  const storage = new LocalStorage(vault);
  const both = { "t.lance": { "data/a": "1" }, "u.lance": { "data/b": "2" } };
  const good = await putSnapshot(storage, { at: "2026-01-01T10:00:00Z", tables: both });
  for (let day = 2; day < 6; day++) {
    await putSnapshot(storage, { at: `2026-01-0${day}T10:00:00Z`, tables: { "t.lance": { "data/a": "1" } } });
  }
  const repository = await Repository.open(vault);
  const { kept } = await repository.prune({ keepLast: 2, dryRun: true });
  expect(kept.at(-1)).toMatchObject({
    snapshot: { id: good.id },
    reasons: [expect.stringContaining("u had 10 rows and was gone")],
  });
});

describe("periodic backups of a wiped database", () => {
  async function newPeriodic(options: PeriodicBackupOptions = {}) {
    const place = await newPlace();
    const { logger, logged } = recordingLogger();
    const backupDir = join(place.directory, "periodic");
    const manager = new PeriodicBackupManager({
      uri: place.uri,
      backupDir,
      logger,
      fileFormat: "arrow",
      ...options,
    });
    const warnings = () =>
      logged.filter(({ level }) => level === "warn").map(({ meta }) => String(meta?.["tables"]));
    return { ...place, manager, backupDir, warnings, logged };
  }

  test("are warned of, and `keep` never removes the last full from before", async () => {
    const place = await newPeriodic({ keep: 2 });
    const { manager, backupDir, logged } = place;
    const good = basename(await manager.backupNow());
    await wipe(place);
    for (let turn = 0; turn < 4; turn++) await manager.backupNow();
    expect(place.warnings()).toEqual([expect.stringContaining("docs had 10,000 rows and is gone")]);
    const left = readdirSync(backupDir).sort();
    expect(left).toHaveLength(3); // the good one, and the two that are to be kept
    expect(left[0]).toBe(good);
    expect(logged.filter(({ message }) => message === "an old periodic backup is kept").at(-1)?.meta).toEqual(
      {
        file: good,
        reason: expect.stringMatching(/^the last full before a fall: .*docs had 10,000 rows and was gone/),
      },
    );
    const summary = await restoreLatest(backupDir, join(place.directory, "back"), { at: timeOf(good) });
    expect(summary.tables).toEqual({ docs: ROWS, users: ROWS, words: ROWS });
  });

  test("deltas are warned of too, and stay with the full that they follow", async () => {
    const place = await newPeriodic({ keep: 1, incremental: true, maxDeltasBeforeFull: 2 });
    const { manager, backupDir, db } = place;
    const full = basename(await manager.backupNow());
    await (await db.openTable("docs")).add(rows(1).map(() => ({ id: ROWS })));
    const delta = basename(await manager.backupNow());
    await wipe(place);
    await manager.backupNow();
    expect(place.warnings()).toEqual([expect.stringContaining("docs had 10,001 rows and is gone")]);
    for (let turn = 0; turn < 6; turn++) {
      await (await db.openTable("users")).add(rows(1));
      await manager.backupNow();
    }
    expect(readdirSync(backupDir)).toEqual(expect.arrayContaining([full, delta]));
    const summary = await restoreLatest(backupDir, join(place.directory, "back"), { at: timeOf(delta) });
    expect(summary.tables["docs"]).toBe(ROWS + 1);
  });

  test.each([{ incremental: false }, { incremental: true }])(
    "asked to, they fail, and nothing is written: %o",
    async (options) => {
      const failures: Error[] = [];
      const place = await newPeriodic({
        ...options,
        failOnShrink: true,
        onBackupFailure: (error) => void failures.push(error),
      });
      await place.manager.backupNow();
      await wipe(place);
      await expect(place.manager.backupNow()).rejects.toBeInstanceOf(ShrunkError);
      await expect(place.manager.backupFull()).rejects.toMatchObject({ code: "SHRUNK", tables: WIPED });
      expect(readdirSync(place.backupDir)).toHaveLength(1);
      expect(failures).toHaveLength(2);
    },
  );
});

/** The time that a periodic file's name tells. */
function timeOf(file: string): Date {
  const [, seconds, micros] = /_(\d+)_(\d+)\./.exec(file) ?? [];
  return new Date(Number(seconds) * 1000 + Number(micros) / 1000);
}
