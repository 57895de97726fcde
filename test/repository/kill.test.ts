import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { connect } from "@lancedb/lancedb";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BackupManager } from "../../src/index.ts";
import { Repository } from "../../src/repository/repository.ts";
import { recordFigures } from "../crash/figures.ts";
import { runInjected } from "../crash/injected.ts";
import { silent } from "../crash/silent.ts";
import { hasStrace, runTraced } from "../crash/trace.ts";
import { nightly, spread } from "../crash/workshop.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { snapshotOf, type TableSnapshot } from "../support/snapshot.ts";

const OPERATIONS = ["backup", "delete", "prune", "restore", "in-place"] as const;
type Operation = (typeof OPERATIONS)[number];

/** Kills of one operation; every step of it in the nightly run. */
const SAMPLE = nightly ? Number.POSITIVE_INFINITY : 6;
const PROGRAM = fileURLToPath(new URL("./work-on-repository.ts", import.meta.url));

const root = mkdtempSync(join(tmpdir(), "lancedb-backup-kill-"));
const TEMPLATE = join(root, "template");
let count = 0;

type Tables = Record<string, TableSnapshot>;
/** What the snapshots `first` and `second`, and the database now, look like. */
const contents: Record<"first" | "second" | "now", Tables> = { first: {}, second: {}, now: {} };

beforeAll(async () => {
  const uri = join(TEMPLATE, "db");
  const db = await connect(uri);
  const repository = await Repository.init(join(TEMPLATE, "repository"), { logger: silent });
  const table = await makeSampleTable(db, "main");
  await makeSampleTable(db, "other", { rows: 10 });
  await repository.backup({ source: uri, name: "first" });
  contents.first = await snapshotOf(db);
  await table.add(sampleRows(100, 20));
  await repository.backup({ source: uri, name: "second" });
  contents.second = await snapshotOf(db);
  await table.delete("id < 10");
  await (await db.openTable("other")).add(sampleRows(200, 5));
  contents.now = await snapshotOf(db);
  db.close();
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

interface Place {
  readonly root: string;
  readonly location: string;
  readonly uri: string;
  readonly target: string;
}

function newPlace(): Place {
  const place = join(root, `place-${count++}`);
  cpSync(TEMPLATE, place, { recursive: true });
  return {
    root: place,
    location: join(place, "repository"),
    uri: join(place, "db"),
    target: join(place, "target"),
  };
}

async function run(operation: Operation, place: Place, at: number) {
  const argv = [process.execPath, PROGRAM, operation, place.location, place.uri, place.target];
  if (hasStrace) {
    const { signal, steps, stdout, stderr } = await runTraced(argv, { root: place.root, killAfter: at });
    const where = steps.at(-1)?.text.replaceAll(place.root, "") ?? "the start";
    return { killed: signal === "SIGKILL", steps: steps.length, where, stdout, stderr };
  }
  const { signal, calls, stdout, stderr, hit } = await runInjected(argv, { root: place.root, at });
  return { killed: signal === "SIGKILL", steps: calls ?? 0, where: hit ?? "the end", stdout, stderr };
}

async function tablesOf(uri: string): Promise<Tables> {
  const db = await connect(uri);
  try {
    return await snapshotOf(db);
  } finally {
    db.close();
  }
}

/** Every snapshot that is there is sound and is what it was; none is lost; the operation can be done again. */
async function assertSound(operation: Operation, place: Place): Promise<void> {
  const repository = await Repository.open(place.location, { logger: silent });
  const names = new Set((await repository.list()).map(({ name }) => name));
  const mayBeGone = operation === "delete" || operation === "prune";
  expect(names.has("second")).toBe(true);
  if (!mayBeGone) expect(names.has("first")).toBe(true);
  for (const result of await repository.verify()) expect(result).toMatchObject({ ok: true });
  for (const [index, { id, name }] of (await repository.list()).entries()) {
    const target = join(place.root, `check-${index}`);
    await repository.restore(id, { target });
    const expected = name === "last" ? contents.now : contents[name as "first" | "second"];
    expect(await tablesOf(target)).toEqual(expected);
  }
  await assertDatabase(operation, place, repository);
}

async function assertDatabase(operation: Operation, place: Place, repository: Repository): Promise<void> {
  if (operation === "in-place") {
    await new BackupManager({
      uri: place.uri,
      backupDir: join(place.root, "backups"),
      logger: silent,
    }).recover();
    // Each table is as before or as in the snapshot; done again, all are.
    for (const [name, table] of Object.entries(await tablesOf(place.uri))) {
      expect([contents.now[name]?.rows, contents.first[name]?.rows]).toContainEqual(table.rows);
    }
    await repository.restore("first", { target: place.uri, mode: "in-place" });
    const rows = (tables: Tables) => Object.entries(tables).map(([name, table]) => [name, table.rows]);
    expect(rows(await tablesOf(place.uri))).toEqual(rows(contents.first));
    return;
  }
  expect(await tablesOf(place.uri)).toEqual(contents.now);
  await repository.backup({ source: place.uri });
  await repository.prune({ graceHours: 0 });
  for (const result of await repository.verify()) expect(result).toMatchObject({ ok: true });
}

describe("killed after each change of a file, no snapshot is lost or half-made, and work goes on", () => {
  test.for(OPERATIONS)("%s", async (operation) => {
    const whole = newPlace();
    const { steps, stdout, stderr } = await run(operation, whole, Number.MAX_SAFE_INTEGER);
    expect(stdout, stderr).toContain("done");
    await assertSound(operation, whole);
    rmSync(whole.root, { recursive: true, force: true });
    let kills = 0;
    const problems: string[] = [];
    for (const step of spread(steps - 1, SAMPLE)) {
      const place = newPlace();
      const { killed, where } = await run(operation, place, step + 1);
      if (killed) kills++;
      try {
        await assertSound(operation, place);
        rmSync(place.root, { recursive: true, force: true });
      } catch (error) {
        problems.push(`after ${step + 1} of ${steps}, ${where}: ${error}`);
      }
    }
    expect(problems).toEqual([]);
    expect(kills).toBeGreaterThan(Math.min(steps, SAMPLE) / 2);
    recordFigures(
      "Repository: killed after a change of a file",
      [{ operation, steps, kills, "snapshots lost": 0, damaged: 0 }],
      operation,
    );
  });
});
