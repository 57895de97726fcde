import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { inTurn } from "../support/thorough.ts";
import { recordFigures } from "./figures.ts";
import { runPlain } from "./plain.ts";
import type { Outcome } from "./program.ts";
import { type ScenarioName, scenarioOf } from "./scenarios.ts";
import { assertWhole, nightly, outcomeOf, type Place, STRATEGIES, Workshop } from "./workshop.ts";

const workshop = new Workshop();
beforeAll(() => workshop.prepare());
afterAll(() => workshop[Symbol.dispose]());

const mounts: string[] = [];
afterEach(() => {
  for (const mount of mounts.splice(0).reverse()) spawnSync("umount", ["-l", mount]);
});

/** A small file system in memory at `directory`; undefined where this user may not mount one. */
function mountTmpfs(directory: string, size: string): boolean {
  mkdirSync(directory, { recursive: true });
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", directory]);
  if (status === 0) mounts.push(directory);
  return status === 0;
}

const isRoot = process.getuid?.() === 0;
const mountable = isRoot && mountTmpfs(join(workshop.root, "probe"), "1m");
if (!mountable)
  console.warn("A file system cannot be mounted here (not root?): full and read-only disks are not tried.");
if (!isRoot) console.warn("Not root: files of another user are not tried.");

async function run(
  place: Place,
  scenario: ScenarioName,
  strategy: (typeof STRATEGIES)[number],
): Promise<Outcome> {
  const { stdout, stderr } = await runPlain(workshop.argv(place, { task: "work", scenario, strategy }));
  expect(stderr).toBe("");
  const outcome = outcomeOf(stdout);
  expect(outcome).toBeDefined();
  return outcome!;
}

describe.skipIf(!mountable)("a full disk", () => {
  const lines: Record<string, string | number>[] = [];
  /** Bytes that are left when the work begins. */
  const spaces = nightly
    ? Array.from({ length: 48 }, (_, index) => index * 4096)
    : [0, 4096, 16_384, 32_768, 65_536, 131_072];
  const SCENARIOS = ["insert", "several tables", "drop and create", "insertRecordsWithBackup"] as const;
  const cases = STRATEGIES.flatMap((strategy) =>
    inTurn(SCENARIOS, strategy).map((scenario) => ({ scenario, strategy })),
  );

  test.for(cases)("$scenario, $strategy", async ({ scenario, strategy }) => {
    const disk = join(workshop.root, `disk-${scenario}-${strategy}`);
    const ends = await workshop.ends(scenario);
    expect(mountTmpfs(disk, "8m")).toBe(true);
    let [refused, succeeded] = [0, 0];
    for (const space of spaces) {
      const place = workshop.place(scenarioOf(scenario), disk);
      const filler = join(disk, "filler");
      const { bavail, bsize } = statfsSync(disk);
      writeFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize - space)));
      const outcome = await run(place, scenario, strategy);
      rmSync(filler);
      if (outcome.ok) succeeded++;
      else {
        refused++;
        expect(outcome.error?.message).toMatch(/ENOSPC|No space left|os error 28/);
        // LanceDB names no path; the helpers name the table.
        if (outcome.error?.code === "IO") expect(outcome.error.message).toContain(place.root);
      }
      await assertWhole(place, ends, outcome.ok ? "after" : "before");
      workshop.remove(place);
    }
    lines.push({ "guarded work": scenario, strategy, disks: spaces.length, refused, succeeded, lost: 0 });
    expect(refused).toBeGreaterThan(0);
  });

  afterAll(() => recordFigures("A full disk", lines));
});

describe.skipIf(!mountable)("the backup directory", () => {
  test("is read-only: directory-copy says so before anything is touched, lance-version does not need it", async () => {
    const ends = await workshop.ends("insert");
    const place = workshop.place();
    mountTmpfs(place.backupDir, "1m");
    spawnSync("mount", ["-o", "remount,ro", place.backupDir]);
    const refused = await run(place, "insert", "directory-copy");
    expect(refused.error).toMatchObject({ name: "IoError", code: "IO" });
    expect(refused.error?.message).toMatch(/read-only \(EROFS\)/);
    expect(refused.error?.path).toContain(place.backupDir);
    expect((await run(place, "insert", "lance-version")).ok).toBe(true);
    spawnSync("mount", ["-o", "remount,rw", place.backupDir]);
    await assertWhole(place, ends, "after");
  });

  test("is full: nothing is left of the copy", async () => {
    const ends = await workshop.ends("several tables");
    const place = workshop.place();
    mountTmpfs(place.backupDir, "16k");
    const refused = await run(place, "several tables", "directory-copy");
    expect(refused.error).toMatchObject({ name: "IoError", code: "IO" });
    expect(refused.error?.message).toMatch(/the disk is full.*\(ENOSPC\)/);
    expect(refused.error?.message).toContain(place.backupDir);
    expect(readdirSync(place.backupDir)).toEqual([]);
    umount(place.backupDir);
    await assertWhole(place, ends, "before");
  });

  test.for(["failing work", "failing work, drop and create"] as const)(
    "lies on another file system: copies, no links, and %s goes back from them",
    async (scenario) => {
      const ends = await workshop.ends(scenario);
      const place = workshop.place(scenarioOf(scenario));
      mountTmpfs(place.backupDir, "16m");
      const outcome = await run(place, scenario, "directory-copy");
      expect(outcome.error?.message).toBe("the work failed on purpose");
      await assertWhole(place, ends, "before");
    },
  );
});

function umount(directory: string): void {
  spawnSync("umount", [directory]);
  mounts.splice(mounts.indexOf(directory), 1);
}

describe.skipIf(!isRoot)("a user who may not write", () => {
  const NOBODY = 65_534;

  /** The program as another user, which needs the sources where that user can read them. */
  async function runAsNobody(place: Place, strategy: (typeof STRATEGIES)[number]): Promise<Outcome> {
    const argv = workshop.argv(place, { task: "work", scenario: "insert", strategy });
    const { stdout, stderr } = await runPlain(argv, { uid: NOBODY, gid: NOBODY });
    const outcome = outcomeOf(stdout);
    if (!outcome) throw new Error(`The program did not run: ${stderr}`);
    return outcome;
  }

  function ownedPlace(options: { files: "nobody" | "root" }): Place {
    chmodSync(workshop.root, 0o755);
    const place = workshop.place();
    chmodSync(place.root, 0o777);
    const paths = ["", ...readdirSync(place.uri, { recursive: true }).map(String)];
    for (const path of paths) {
      const full = join(place.uri, path);
      const directory = existsSync(join(full, "."));
      if (directory || options.files === "nobody") chownSync(full, NOBODY, NOBODY);
      else chmodSync(full, 0o644);
    }
    return place;
  }

  test.for(STRATEGIES)("gets an error that names the directory, %s", async (strategy) => {
    const ends = await workshop.ends("insert");
    const place = ownedPlace({ files: "nobody" });
    chmodSync(place.uri, 0o555);
    const { error } = await runAsNobody(place, strategy);
    expect(error).toMatchObject({ name: "IoError", code: "IO" });
    expect(error?.message).toMatch(/permission denied \(EACCES\)/);
    expect(error?.path).toContain(join(place.uri, ".lancedb-backup"));
    await assertWhole(place, ends, "before");
  });

  test.for(STRATEGIES)("of the table gets LanceDB's error, and nothing has changed, %s", async (strategy) => {
    const ends = await workshop.ends("insert");
    const place = ownedPlace({ files: "nobody" });
    for (const part of ["_versions", "_transactions", "data"])
      chmodSync(join(place.uri, "a.lance", part), 0o555);
    const { ok, error } = await runAsNobody(place, strategy);
    expect(ok).toBe(false);
    expect(error?.message).toMatch(/[Pp]ermission denied/);
    await assertWhole(place, ends, "before");
  });

  test.for(STRATEGIES)("to files that may be read but not linked: they are copied, %s", async (strategy) => {
    const ends = await workshop.ends("insert");
    const place = ownedPlace({ files: "root" });
    const outcome = await runAsNobody(place, strategy);
    expect(outcome.error).toBeUndefined();
    await assertWhole(place, ends, "after");
  });
});

describe("too few open files", () => {
  test.for(STRATEGIES)("%s", async (strategy) => {
    const scenario = "several tables";
    const ends = await workshop.ends(scenario);
    const told = { success: 0, error: 0, died: 0 };
    for (let limit = 22; limit <= 54; limit += nightly ? 1 : 4) {
      const place = workshop.place(scenarioOf(scenario));
      const argv = workshop.argv(place, { task: "work", scenario, strategy });
      const { stdout } = await runPlain(["sh", "-c", `ulimit -n ${limit}; exec "$@"`, "sh", ...argv]);
      const outcome = stdout ? outcomeOf(stdout) : undefined;
      if (!outcome) told.died++;
      else if (outcome.ok) told.success++;
      else told.error++;
      await assertWhole(place, ends, outcome ? (outcome.ok ? "after" : "before") : "either");
      workshop.remove(place);
    }
    recordFigures("Too few open files", [{ strategy, ...told, lost: 0 }], strategy);
    expect(told.success).toBeGreaterThan(0);
    expect(told.error).toBeGreaterThan(0);
  });
});
