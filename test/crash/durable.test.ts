import { dirname, join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newestManifest } from "../support/files.ts";
import { recordFigures } from "./figures.ts";
import { type ScenarioName, scenarioOf } from "./scenarios.ts";
import { hasStrace, runTraced, type Step } from "./trace.ts";
import { STRATEGIES, Workshop } from "./workshop.ts";

/**
 * What is on the disk when, read from the order of the system calls. A name is on the disk when its
 * directory was synced after it was made, a content when its file was synced after it was written.
 */

const workshop = new Workshop();
beforeAll(() => workshop.prepare());
afterAll(() => workshop[Symbol.dispose]());

/** The paths of a call: written out, and those of open files, which strace shows in angle brackets. */
function pathsOf(step: Step): { named: string[]; open: string[] } {
  const named = [...step.text.matchAll(/"(\/[^"]*)"/g)].map((match) => match[1] ?? "");
  const open = [...step.text.matchAll(/\d+<(\/[^>]*)>/g)].map((match) => match[1] ?? "");
  return { named, open };
}

/** Follows the calls of one run and knows what a power cut would take. */
class Disk {
  readonly #unsyncedNames = new Map<string, Set<string>>();
  readonly #unsyncedContents = new Set<string>();
  readonly #doors = new Map<string, string>();

  apply(step: Step): void {
    const { named, open } = pathsOf(step);
    const [first = "", second = ""] = named.map((path) => this.resolve(path));
    switch (step.call) {
      case "symlink":
        this.#doors.set(second, first);
        break;
      case "mkdir":
      case "openat":
        this.#addName(first);
        break;
      case "link":
      case "linkat":
        this.#addName(second);
        if (this.#unsyncedContents.has(first)) this.#unsyncedContents.add(second);
        break;
      case "rename":
      case "renameat":
      case "renameat2":
        this.#move(first, second);
        break;
      case "unlink":
      case "unlinkat":
      case "rmdir":
        this.#forget(first);
        break;
      case "write":
      case "pwrite64":
        this.#unsyncedContents.add(open[0] ?? "");
        break;
      case "copy_file_range":
        this.#unsyncedContents.add(open[1] ?? "");
        break;
      case "fsync":
      case "fdatasync":
        this.#unsyncedContents.delete(open[0] ?? "");
        this.#unsyncedNames.delete(open[0] ?? "");
        break;
    }
  }

  /** A path without the symbolic links by which we open datasets. */
  resolve(path: string): string {
    for (const [door, dataset] of this.#doors)
      if (path.startsWith(`${door}/`)) return dataset + path.slice(door.length);
    return path;
  }

  /** What would be lost below a directory. */
  lost(below: string): string[] {
    const names = [...this.#unsyncedNames.values()].flatMap((paths) => [...paths]);
    const lost = [
      ...names.map((path) => `name ${path}`),
      ...[...this.#unsyncedContents].map((path) => `content ${path}`),
    ];
    return lost.filter((entry) => entry.includes(below)).sort();
  }

  #addName(path: string): void {
    const directory = dirname(path);
    const names = this.#unsyncedNames.get(directory) ?? new Set();
    this.#unsyncedNames.set(directory, names.add(path));
  }

  #move(from: string, to: string): void {
    this.#addName(to);
    this.#unsyncedContents.delete(to); // what had the name is gone
    this.#unsyncedNames.get(dirname(from))?.delete(from);
    for (const path of [...this.#unsyncedContents]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.#unsyncedContents.delete(path);
      this.#unsyncedContents.add(to + path.slice(from.length));
    }
    for (const [directory, names] of [...this.#unsyncedNames]) {
      if (directory !== from && !directory.startsWith(`${from}/`)) continue;
      this.#unsyncedNames.delete(directory);
      const moved = [...names].map((path) => to + path.slice(from.length));
      this.#unsyncedNames.set(to + directory.slice(from.length), new Set(moved));
    }
  }

  #forget(path: string): void {
    this.#unsyncedNames.get(dirname(path))?.delete(path);
    this.#unsyncedContents.delete(path);
  }
}

async function follow(
  scenario: ScenarioName,
  strategy: (typeof STRATEGIES)[number],
  task: "work" | "backup" = "work",
) {
  const place = workshop.place(scenarioOf(scenario));
  const argv = workshop.argv(place, { task, scenario, strategy });
  const { steps, code, stderr } = await runTraced(argv, { root: place.root, killAfter: () => false });
  expect(stderr).toBe("");
  expect(code).toBe(0);
  return { place, steps };
}

/** A file or directory of a table in a backup. */
function isKept(backupDir: string, path: string): boolean {
  return relative(backupDir, path).split("/").length > 2 && path.startsWith(`${backupDir}/`);
}

/**
 * What need not be on the disk for the way back: whose it is, which a power cut settles, and outcomes; of the files
 * that stand for tables the content, since their names tell; the numbers that dropped tables had, which only handles
 * that are open mind.
 */
const SWEPT =
  /\/(owner\.json|log|backup\.json)$|\/(locks|staging|ids|dropped)(\/|$)|^content .*\/journal\/[^/]+\/tables\//;

const figures: Record<string, string | number>[] = [];

describe.skipIf(!hasStrace)("before LanceDB writes to a table", () => {
  const names: ScenarioName[] = ["insert", "several tables", "create", "drop and create", "namespace"];
  const cases = names.flatMap((scenario) => STRATEGIES.map((strategy) => ({ scenario, strategy })));

  test.for(cases)(
    "its backup and the intent are on the disk: $scenario, $strategy",
    async ({ scenario, strategy }) => {
      const { place, steps } = await follow(scenario, strategy);
      const disk = new Disk();
      let [armed, writes, intents] = [0, 0, 0];
      let unsyncedIntent = false;
      let keeps = false;
      for (const step of steps) {
        const { named, open } = pathsOf(step);
        keeps ||= [...named, ...open].some((path) => isKept(place.backupDir, disk.resolve(path)));
        const touched = [...named, ...open]
          .map((path) => disk.resolve(path))
          .find((path) => isTable(place.uri, path));
        // We link, copy and sync; an empty directory is nothing that could be lost.
        const ours = ["link", "copy_file_range", "fsync", "mkdir"].includes(step.call);
        const ofLance = touched !== undefined && !ours;
        if (ofLance && !step.text.includes(".lancedb-backup")) {
          writes++;
          expect(armed, `${step.text} came before anything was armed`).toBeGreaterThan(0);
          expect(unsyncedIntent, `${step.text} came before its intent was on the disk`).toBe(false);
          // What is created has nothing to be kept: that it was absent stands in the journal.
          const kept = keeps ? disk.lost(place.backupDir) : [];
          const lost = [...disk.lost(join(place.uri, ".lancedb-backup")), ...kept];
          expect(lost.filter((entry) => !SWEPT.test(entry))).toEqual([]);
        }
        if (/^rename.*armed\.json"/.test(step.text)) armed++;
        if (step.call === "write" && /\/log>, ".*intent/.test(step.text)) {
          unsyncedIntent = true;
          intents++;
        }
        if (step.call === "fdatasync" && /\/log>/.test(step.text)) unsyncedIntent = false;
        disk.apply(step);
        if (step.text.includes("done.json")) break;
      }
      expect(writes).toBeGreaterThan(0);
      expect(intents).toBeGreaterThan(0);
      figures.push({
        "guarded work": scenario,
        strategy,
        "LanceDB's writes": writes,
        "before its backup": 0,
      });
    },
  );

  afterAll(() => recordFigures("Backup and intent on the disk before each write", figures));
});

/** Below a table's directory of the database; our own directory is none. */
function isTable(uri: string, path: string): boolean {
  const inner = path.startsWith(`${uri}/`) ? path.slice(uri.length + 1) : "";
  return inner !== "" && !inner.startsWith(".lancedb-backup");
}

describe.skipIf(!hasStrace)("when success is reported", () => {
  /** What LanceDB rewrites at will, or does not need (docs/lance-facts.md). */
  const UNNEEDED = /latest_version_hint|_transactions|manifest#1|\.tmp|\.lance-reserved/;

  async function lostAtSuccess(scenario: ScenarioName, strategy: (typeof STRATEGIES)[number]) {
    const { place, steps } = await follow(scenario, strategy);
    const disk = new Disk();
    for (const step of steps) {
      if (/^rename.*done\.json"/.test(step.text)) break;
      disk.apply(step);
    }
    return disk
      .lost(place.uri)
      .filter((entry) => !entry.includes(".lancedb-backup") && !UNNEEDED.test(entry));
  }

  test.for(STRATEGIES)("all that LanceDB wrote is on the disk with durable, %s", async (strategy) => {
    expect(await lostAtSuccess("insert, durable", strategy)).toEqual([]);
    expect(await lostAtSuccess("everything, durable", strategy)).toEqual([]);
    expect(await lostAtSuccess("drop and create, durable", strategy)).toEqual([]);
  });

  test("and without it LanceDB leaves that to the system, so that the test can tell", async () => {
    expect(await lostAtSuccess("insert", "lance-version")).not.toEqual([]);
  });
});

describe.skipIf(!hasStrace)("when createBackup has made a directory copy", () => {
  test("all of it is on the disk before its record has its name, and its documents wait for the disk together", async () => {
    const { place, steps } = await follow("insert", "directory-copy", "backup");
    const disk = new Disk();
    let lost: string[] | undefined;
    const calls: string[] = [];
    for (const step of steps) {
      if (/^rename.*held\.json"/.test(step.text)) lost = disk.lost(place.backupDir);
      if (["fsync", "rename"].includes(step.call)) calls.push(step.call);
      if (step.call === "openat" && /\/journal\/[^/]+\/\.[^/]+\.tmp/.test(step.text)) calls.length = 0;
      disk.apply(step);
    }
    expect(lost).toEqual([]);
    expect(disk.lost(place.root).filter((entry) => !SWEPT.test(entry))).toEqual([]);
    // Of the record, its directories and backup.json; then of the name of each.
    expect(calls).toEqual([...Array(5).fill("fsync"), "rename", "fsync", "rename", "fsync"]);
  });
});

describe.skipIf(!hasStrace)("when a rollback has ended", () => {
  test.for(STRATEGIES)("the restored versions are on the disk, %s", async (strategy) => {
    const { place, steps } = await follow("failing work", strategy);
    const disk = new Disk();
    for (const step of steps) {
      if (/^rename.*done\.json"/.test(step.text)) break;
      disk.apply(step);
    }
    const lost = disk.lost(place.uri);
    for (const table of ["a", "b", "c"]) {
      const head = newestManifest(join(place.uri, `${table}.lance`));
      expect(lost.filter((entry) => entry.includes(head))).toEqual([]);
    }
  });
});
