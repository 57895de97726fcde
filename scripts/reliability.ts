// Runs the tests that kill and fail at every step, and those with many writers, and writes what they counted to docs/reliability.md.
// No figure there is written by hand.
//
//   npm run reliability              a sample, as in the test suite: some minutes
//   npm run reliability -- --all     every step, as in the nightly run: hours
//   npm run reliability -- --from figures      what `RELIABILITY_FIGURES=$PWD/figures npm run test:all` has left there
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";

type Line = Readonly<Record<string, string | number>>;

interface Section {
  /** As the tests name it. */
  readonly table: string;
  readonly text: string;
  /** How many of the places of a line were tried, and how many there are. */
  readonly tried?: (line: Line) => readonly [number, number];
}

const kills = (line: Line) => [Number(line["kills"]), Number(line["steps"])] as const;

const ROOT = join(import.meta.dirname, "..");
const TARGET = join(ROOT, "docs/reliability.md");

const SECTIONS: readonly Section[] = [
  {
    table: "Guarded work, killed",
    text: "A process does guarded work and is killed with SIGKILL after one of its system calls that changes a file, whether Node or LanceDB made it. Then `recover()` runs. Every table has to be as before the work or as after it, all of them the same: as after it exactly when the journal entry had been renamed to `done`. No version number may have gone backwards, nothing of ours may be left, and the next operation has to work. `steps` are the calls of a run that survives.",
    tried: kills,
  },
  {
    table: "Recovery, killed twice in a row",
    text: "The work is killed when all of it is written and nothing final; so is the recovery, and the recovery after that, at another step. The third one finishes. Every table has to be as before.",
    tried: kills,
  },
  {
    table: "A restore, killed",
    text: "`restoreBackup` puts four tables back (two written to since, one made anew, one that was not there) and is killed after one of its system calls that changes a file. Then `recover()` runs. All tables have to be as the backup has them exactly when the restore had been armed, and all as they were otherwise.",
    tried: (line) => [Number(line["before"]) + Number(line["after"]), Number(line["steps"])],
  },
  {
    table: "Errors of our own calls",
    text: "One of our own file calls fails, or all of them from one on. The caller has to be told, with path and cause; after success the tables are as after, after an error as before (where the disk refuses the rollback too: after `recover()`).",
    tried: (line) => [Number(line["errors"]), Number(line["calls"])],
  },
  {
    table: "Errors of LanceDB's own calls",
    text: "LanceDB's own `rename` and `link` calls fail with ENOSPC. Not each of them matters to LanceDB.",
  },
  {
    table: "Errors in a recovery",
    text: "A file call of a recovery fails, once or from there on; the next recovery makes it whole.",
  },
  {
    table: "A full disk",
    text: "A small file system is filled up to some bytes before the work begins. The test suite tries each work with one of the strategies, the nightly run with both.",
  },
  {
    table: "Too few open files",
    text: "The work runs under low limits of open files. `died`: Node itself could not start.",
  },
  {
    table: "Backup and intent on the disk before each write",
    text: "Read from the order of system calls: when LanceDB first touches a table, the backup's files, every directory that names them, the journal entry and the intent have been synced.",
  },
  {
    table: "A journal entry cut short",
    text: "The entry of a dead process, cut at some byte: refused with its name, nothing touched.",
  },
  {
    table: "A damaged newest manifest",
    text: "Cut at several lengths or made of zeros, as a power cut leaves it.",
  },
  {
    table: "Model of guarded work, crashes and recoveries",
    text: "Random sequences of work, crashes between any two steps, recoveries and commits of other programs, each step compared with a model.",
  },
  {
    table: "Many writers",
    text: "Eight processes, five guarded and three plain, add, delete, optimize and fail at random on three tables; each syncs a log of what it was told. Every acknowledged row has to be there, and none that was rolled back. `wrong` counts the others.",
  },
  {
    table: "Repository: killed after a change of a file",
    text: "Backup, delete, prune and both ways of restoring are killed after one of their system calls that changes a file. Every snapshot that is there has to verify and to restore to what it was; none may be missing but those that were to go; the database is as it was, or, for a restore in place, each table as before or as in the snapshot; and the same work, done again, succeeds.",
    tried: kills,
  },
  {
    table: "Renamed away",
    text: "A root (database, repository, backup directory, the directory around a target) is renamed away before one of our own calls that read or change a file, and back one call later, seven calls later, or when the operation has ended. It must have succeeded, with all of it there, or have failed; then the next operations have to work. `calls` are those of a run in which nothing goes away, `made again` counts the runs in which LanceDB made the directory anew meanwhile: no success among them.",
  },
  {
    table: "Prune beside backups",
    text: "Processes back up, delete and prune one repository without any grace period, and are killed at random. Every snapshot that is there has to have all of its blobs.",
  },
  {
    table: "Leases of a repository",
    text: "Processes take shared and exclusive leases and are killed at random while they hold them. `overlaps` counts the turns in which an exclusive one was not alone.",
  },
  {
    table: "Lock of one table",
    text: "Six processes take turns on a table's lock and are killed at random while they hold it. `overlaps` counts the turns in which another one was inside.",
  },
  {
    table: "Lock of one table, taken away now and then",
    text: "The same, while the lock's directory is removed as that of a table that is gone.",
  },
  {
    table: "Locks of tables that are new",
    text: "The same, on a table of another name each hundredth of a second: all come to it at once for the first time.",
  },
];

const REMAINS = `## What remains

- A process is killed inside a write, before LanceDB's commit of it, and another program commits to that table in the same way, while the write was under way or within half a second of the death: that commit is taken for the dead process's, and rolled back. Nothing that Lance writes tells whose a commit is. Two commits that fit are reported as a conflict, neither is touched. Where only guarded work writes to a table, this cannot happen.
- A power cut is simulated by what it leaves: manifests, journal records, owners and locks that are empty, cut short or zeros. What is synced when is read from the order of system calls, not from a disk.
- The tests run on Linux. Elsewhere, and where strace is missing, a process is killed at its own file calls only, and not at LanceDB's.
`;

const all = process.argv.includes("--all");
const from = process.argv.indexOf("--from");
const given = from > 0 ? process.argv[from + 1] : undefined;
const figures = given ?? mkdtempSync(join(tmpdir(), "lancedb-backup-figures-"));
try {
  const code = given === undefined ? await runTests() : 0;
  if (code !== 0) throw new Error(`The tests failed (${code}); ${TARGET} was left as it is.`);
  writeFileSync(TARGET, documentOf(readFigures()));
} finally {
  if (given === undefined) rmSync(figures, { recursive: true, force: true });
}

async function runTests(): Promise<number | null> {
  const vitest = join(ROOT, "node_modules/vitest/vitest.mjs");
  const child = spawn(
    process.execPath,
    [vitest, "run", "test/crash", "test/concurrency", "test/repository/kill.test.ts"],
    {
      cwd: ROOT,
      stdio: "inherit",
      // Without either of the two, tests that kill programs are left out.
      env: { ...process.env, RELIABILITY_FIGURES: figures, ...(all ? { NIGHTLY: "1" } : { CI: "1" }) },
    },
  );
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
}

interface Table {
  readonly lines: Line[];
  /** How many of the lines came of which commit. */
  readonly commits: Map<string, number>;
}

function readFigures(): Map<string, Table> {
  const tables = new Map<string, Table>();
  for (const name of readdirSync(figures).sort()) {
    const { table, commit, lines } = JSON.parse(readFileSync(join(figures, name), "utf8")) as {
      table: string;
      commit: string;
      lines: Line[];
    };
    const known: Table = tables.get(table) ?? { lines: [], commits: new Map() };
    known.lines.push(...lines);
    known.commits.set(commit, (known.commits.get(commit) ?? 0) + lines.length);
    tables.set(table, known);
  }
  return tables;
}

function documentOf(tables: ReadonlyMap<string, Table>): string {
  const unknown = [...tables.keys()].filter((name) => !SECTIONS.some((section) => section.table === name));
  if (unknown.length > 0)
    throw new Error(`No section of docs/reliability.md has the tables ${unknown.join(", ")}.`);
  const sections = SECTIONS.map(({ table, text, tried }) => {
    const found = tables.get(table);
    const coverage = found && tried ? `${coverageOf(found.lines, tried)}\n\n` : "";
    const body = found
      ? `${coverage}${tableOf(found.lines)}\n\n${commitsOf(found)}`
      : "Not run on this machine.";
    return `## ${table}\n\n${text}\n\n${body}\n`;
  });
  const sampled =
    given === undefined
      ? "npm run reliability"
      : "npm run test:all` and `npm run reliability -- --from figures";
  const command = all ? "npm run reliability -- --all" : sampled;
  const { version } = JSON.parse(
    readFileSync(join(ROOT, "node_modules/@lancedb/lancedb/package.json"), "utf8"),
  ) as { version: string };
  const machine = `Node ${process.versions.node}, LanceDB ${version}, ${process.platform} ${release()}, ${cpus().length} processors`;
  return `# How reliable it is

The promise: after a guarded operation ends in any way, every table is as the operation left it on success, or as it was before, and no commit of others is lost. This page shows what came of trying to break it. Where a table says **sampled**, the test suite tries some of the steps, and the nightly run all of them. The commit below a table is the one that was tested. Written by \`${command}\` on ${new Date().toISOString().slice(0, 10)} (${machine}); the tests are in [test/crash](../test/crash), [test/concurrency](../test/concurrency) and [test/repository](../test/repository).

${sections.join("\n")}
${REMAINS}`;
}

/** Whether every place was tried, or a sample of them. */
function coverageOf(lines: readonly Line[], tried: NonNullable<Section["tried"]>): string {
  const sampled = lines.map(tried).filter(([done, all]) => done < all);
  if (sampled.length === 0) return "Tried at every step.";
  const sum = (index: 0 | 1) => sampled.reduce((total, line) => total + line[index], 0).toLocaleString("en");
  const others = lines.length - sampled.length;
  const rest = others > 0 ? ` The other ${others} were tried at every step.` : "";
  return `**Sampled** in ${sampled.length} of ${lines.length} rows: ${sum(0)} of their ${sum(1)} steps were tried.${rest}`;
}

function commitsOf({ lines, commits }: Table): string {
  const names = [...commits].map(([commit, count]) => `${commit} (${count})`);
  if (lines.length === 1 || commits.size === 1) return `Of commit ${[...commits.keys()].join(", ")}.`;
  return `Of commits, with the number of lines: ${names.join(", ")}.`;
}

function tableOf(lines: readonly Line[]): string {
  const columns = [...new Set(lines.flatMap((line) => Object.keys(line)))];
  const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const numeric = columns.map((column) => lines.every((line) => typeof line[column] === "number"));
  const sums = columns.map((column, index) =>
    numeric[index] && column !== "seed" ? lines.reduce((sum, line) => sum + Number(line[column]), 0) : "",
  );
  const total = sums.map((sum, index) => (sum === "" ? (index === 0 ? "**all**" : "") : `**${sum}**`));
  return [
    row(columns),
    row(numeric.map((isNumber) => (isNumber ? "---:" : "---"))),
    ...lines.map((line) => row(columns.map((column) => String(line[column] ?? "")))),
    ...(lines.length > 1 ? [row(total)] : []),
  ].join("\n");
}
