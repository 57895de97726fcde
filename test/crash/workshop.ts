import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { BackupManager } from "../../src/guard/backup-manager.ts";
import { BackupStrategy } from "../../src/guard/backup-strategy.ts";
import type { RecoveryAction } from "../../src/guard/recovery/roll-back-dead.ts";
import { deleteRowsWithBackup } from "../../src/guard/write/delete-rows.ts";
import { insertRecordsWithBackup } from "../../src/guard/write/insert-records.ts";
import { makeFixture, rows } from "./fixture.ts";
import { type DatabaseView, leftovers, observe, versionsOnDisk } from "./observe.ts";
import { runPlain } from "./plain.ts";
import type { Outcome, Task } from "./program.ts";
import { perform, type Scenario, type ScenarioName, scenarioOf, scenarios } from "./scenarios.ts";
import { silent } from "./silent.ts";

export const PROGRAM = join(import.meta.dirname, "program.ts");
export const STRATEGIES = Object.values(BackupStrategy);
export const SCENARIOS = Object.keys(scenarios) as ScenarioName[];
export const nightly = process.env["NIGHTLY"] === "1";

/** A database of one's own, and where its backups go. */
export interface Place {
  readonly root: string;
  readonly uri: string;
  readonly backupDir: string;
}

/** The two states that a database may be in when an operation has ended. */
export interface Ends {
  readonly before: DatabaseView;
  readonly after: DatabaseView;
}

/** What recovery has to respect: numbers that somebody can have seen before the end. */
export type SeenVersions = ReadonlyMap<string, number>;

/** Prepared databases, and copies of them to be broken. */
export class Workshop implements Disposable {
  readonly root: string;
  readonly #ends = new Map<string, Ends>();
  #count = 0;

  constructor(parent = tmpdir()) {
    this.root = mkdtempSync(join(parent, "lancedb-backup-crash-"));
  }

  async prepare(): Promise<void> {
    await makeFixture(this.#fixture(false), { namespace: false });
    await makeFixture(this.#fixture(true), { namespace: true });
  }

  /** A copy of the prepared database, in a directory of its own. */
  place(scenario: Pick<Scenario, "namespace"> = {}, parent = this.root): Place {
    const root = join(parent, `place-${++this.#count}`);
    const place = { root, uri: join(root, "db"), backupDir: join(root, "backups") };
    mkdirSync(root);
    cpSync(this.#fixture(scenario.namespace ?? false), place.uri, { recursive: true });
    return place;
  }

  /** Keeps a copy of a place as it is now, to be put back under the same path: entries hold absolute paths. */
  keep(place: Place): () => void {
    const kept = `${place.root}.kept`;
    cpSync(place.root, kept, { recursive: true, verbatimSymlinks: true });
    return () => {
      rmSync(place.root, { recursive: true, force: true });
      cpSync(kept, place.root, { recursive: true, verbatimSymlinks: true });
    };
  }

  /** Has a process do the work there and die before it is final. */
  async die(place: Place, scenario: ScenarioName, strategy: BackupStrategy): Promise<void> {
    const { signal, stderr } = await runPlain(this.argv(place, { task: "die", scenario, strategy }));
    if (signal !== "SIGKILL") throw new Error(`The program did not die: ${stderr}`);
  }

  remove(place: Place): void {
    rmSync(place.root, { recursive: true, force: true });
  }

  /** What the scenario's tables look like before it, and after it where it succeeds. */
  async ends(name: ScenarioName): Promise<Ends> {
    const known = this.#ends.get(name);
    if (known) return known;
    const scenario = scenarioOf(name);
    const place = this.place(scenario);
    const before = await observe(place.uri);
    const manager = new BackupManager({ uri: place.uri, backupDir: place.backupDir, logger: silent });
    const work = perform(scenario, manager, BackupStrategy.LanceVersion, {
      deleteRowsWithBackup,
      insertRecordsWithBackup,
    });
    if (scenario.fails) await work.catch(() => undefined);
    else await work;
    const ends = { before, after: await observe(place.uri) };
    if (isDeepStrictEqual(ends.before, ends.after) !== (scenario.fails ?? false)) {
      throw new Error(`The scenario "${name}" does not do what it says.`);
    }
    this.#ends.set(name, ends);
    this.remove(place);
    return ends;
  }

  argv(place: Place, task: Omit<Task, "uri" | "backupDir">): string[] {
    const { uri, backupDir } = place;
    return [process.execPath, PROGRAM, JSON.stringify({ ...task, uri, backupDir })];
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  #fixture(namespace: boolean): string {
    return join(this.root, namespace ? "fixture-ns" : "fixture");
  }
}

/** Recoveries that ended an entry. */
const SETTLED = new Set<RecoveryAction>(["rolled-back", "swept"]);

/**
 * What holds when an operation was cut off anywhere and `recover()` has run: every table is as before or as
 * after, all of them the same; no version number went backwards; nothing of ours is left; the next guarded
 * operation works. Answers which of the two it was; throws with all that is wrong.
 */
export async function assertWhole(
  place: Place,
  ends: Ends,
  expected: "before" | "after" | "either",
): Promise<"before" | "after"> {
  const seen = highestSeen(place);
  const manager = new BackupManager({ uri: place.uri, backupDir: place.backupDir, logger: silent });
  const report = await manager.recover();
  const problems: string[] = [];
  for (const entry of report.entries) {
    if (!SETTLED.has(entry.action)) problems.push(`${entry.id}: ${entry.action}, ${entry.error?.message}`);
  }
  if (report.healed.length > 0) problems.push(`healed ${JSON.stringify(report.healed)}`);
  const now = await observe(place.uri);
  const end = isDeepStrictEqual(now, ends.before)
    ? "before"
    : isDeepStrictEqual(now, ends.after)
      ? "after"
      : undefined;
  if (!end) problems.push(`neither before nor after: ${difference(now, ends)}`);
  else if (expected !== "either" && end !== expected && !isDeepStrictEqual(ends.before, ends.after)) {
    problems.push(`the tables are as ${end}, and should be as ${expected}`);
  }
  if (end === "before") problems.push(...wentBackwards(place, seen));
  problems.push(...leftovers(place.uri, place.backupDir).map((path) => `left behind: ${path}`));
  if (problems.length === 0) problems.push(...(await nextOperation(manager, place)));
  if (problems.length > 0) throw new Error(problems.join("\n  "));
  return end as "before" | "after";
}

async function nextOperation(manager: BackupManager, place: Place): Promise<string[]> {
  const before = (await observe(place.uri))["a"]?.rows.length ?? 0;
  await manager.withBackup(BackupStrategy.DirectoryCopy, async (db) => {
    await (await db.openTable("a")).add(rows(9000, 1));
  });
  const problems = leftovers(place.uri, place.backupDir).map((path) => `left by the next: ${path}`);
  const after = (await observe(place.uri))["a"]?.rows.length ?? 0;
  return after === before + 1 ? problems : [...problems, `the next operation made ${after - before} rows`];
}

/** Version numbers on the disk, of the tables that were moved aside too. */
function highestSeen(place: Place): SeenVersions {
  return versionsOnDisk(place.uri);
}

function wentBackwards(place: Place, seen: SeenVersions): string[] {
  const now = versionsOnDisk(place.uri);
  return [...seen]
    .filter(([directory, version]) => now.has(directory) && (now.get(directory) ?? 0) < version)
    .map(([directory, version]) => `${directory} went from version ${version} to ${now.get(directory)}`);
}

function difference(now: DatabaseView, ends: Ends): string {
  const tables = new Set([...Object.keys(now), ...Object.keys(ends.before), ...Object.keys(ends.after)]);
  return [...tables]
    .map((table) => {
      const is = (end: DatabaseView) => isDeepStrictEqual(now[table], end[table]);
      const word = is(ends.before)
        ? is(ends.after)
          ? "unchanged"
          : "before"
        : is(ends.after)
          ? "after"
          : `${JSON.stringify(now[table])?.slice(0, 2000)}`;
      return `${table}: ${word}`;
    })
    .join("; ");
}

/** What the program printed; undefined where it died first. */
export function outcomeOf(stdout: string): Outcome | undefined {
  return stdout.endsWith("\n") ? (JSON.parse(stdout) as Outcome) : undefined;
}

/** Runs tasks a few at a time. */
export async function inParallel<T>(
  items: readonly T[],
  task: (item: T) => Promise<void>,
  width = 2,
): Promise<void> {
  const queue = [...items];
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (let item = queue.shift(); item !== undefined; item = queue.shift()) await task(item);
    }),
  );
}

/** `count` numbers from 0 to `last`, evenly spread, both ends among them. */
export function spread(last: number, count: number): number[] {
  if (count > last) return Array.from({ length: last + 1 }, (_, index) => index);
  return Array.from({ length: count }, (_, index) => Math.round((index * last) / (count - 1)));
}
