// `npm run bench`: measures against the targets and against other tools, and writes docs/benchmarks.md. `-- --quick` does it on small data, to show that it works.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { measureBucket } from "./bucket/measure-bucket.ts";
import { measureCommand } from "./command.ts";
import { measureConsistency } from "./consistency.ts";
import { measureCosts } from "./costs/costs.ts";
import { type BenchData, makeData } from "./data/databases.ts";
import { cache } from "./data/paths.ts";
import { FULL, QUICK, type Sizes } from "./data/sizes.ts";
import { measureBackups, measureHistory } from "./guard/backup.ts";
import { growthParts } from "./guard/growth.ts";
import { measureManyTables } from "./guard/many-tables.ts";
import { measureMemory } from "./guard/memory.ts";
import { measureRollbacks } from "./guard/rollback.ts";
import { measureWrites } from "./guard/writes.ts";
import { takeCommands } from "./harness/commands.ts";
import type { Figure } from "./harness/figure.ts";
import { machine } from "./harness/machine.ts";
import { type Part, writePage } from "./harness/page.ts";
import { report } from "./harness/report.ts";
import { keepParts } from "./harness/results.ts";
import { measureDeltas } from "./periodic/deltas.ts";
import { measureFulls } from "./periodic/fulls.ts";
import { measureAgain } from "./repository/again.ts";
import { measureRestore, measureVerify } from "./repository/back.ts";
import { measureManyFiles, measurePeak, measurePrune } from "./repository/cost.ts";
import { measureEncrypted } from "./repository/encrypted.ts";
import { measureFirst } from "./repository/first.ts";
import { measureSmallFiles } from "./repository/small-trees.ts";

const GROWTH: Readonly<Record<(typeof growthParts)[number]["axis"], string>> = {
  bytes: "A table of ten fragments, of ever more rows.",
  files: "A table of ever more fragments of ten rows.",
  tables: "Ever more tables of a hundred rows, all of them backed up.",
  versions: "A table of a hundred rows, with ever more versions.",
};

const parts = [
  part(
    "consistency",
    "Copies beside a writer",
    measureConsistency,
    "Another process adds, deletes, compacts and cleans up without pause. A copy counts as readable when LanceDB reads every row of all its versions. How many are depends on the writer, and on how long the copy takes: in another trial 16 of 84 recursive copies were whole (lance-facts.md).",
  ),
  part(
    "backups",
    "Backup of the guard",
    measureBackups,
    "`createBackup` and `cleanupBackup` of the big table, and copies of its directory, each synced.",
  ),
  part(
    "history",
    "Backup by the length of the history",
    measureHistory,
    "The same rows with one version and with a thousand.",
  ),
  ...growthParts.map(({ axis, measure }) =>
    part(`growth-${axis}`, `Backup by ${axis}`, measure, GROWTH[axis]),
  ),
  part(
    "rollbacks",
    "Restore and rollback",
    measureRollbacks,
    "`restoreBackup`, and `withBackup` around work that throws, against putting a copy in the directory's place.",
  ),
  part(
    "writes",
    "Guarded writes",
    measureWrites,
    "The same rows added, merged and deleted plainly and in `withBackup`; and added by the helper.",
  ),
  part(
    "many-tables",
    "Many tables",
    measureManyTables,
    "`withBackup` around a write to one table of a thousand, and to the only one.",
  ),
  part("memory", "Memory of the guard", measureMemory, "By how much the process grows."),
  part(
    "periodic-full",
    "Periodic fulls",
    measureFulls,
    "`backupFull` and `loadBackup` in both formats, against LanceDB's own scan that writes nothing.",
  ),
  part(
    "periodic-delta",
    "Periodic deltas",
    measureDeltas,
    "`backupDelta` after a full in both formats; and in arrow a chain anew each time, with its replay.",
  ),
  part(
    "repository-first",
    "First snapshot",
    measureFirst,
    "Into an empty repository, against what people would use instead.",
  ),
  part(
    "repository-encrypted",
    "First snapshot, compressed and encrypted",
    measureEncrypted,
    "Into an empty repository on the same disk, with a raw key, against restic, which always compresses and encrypts: the words, a table of texts and JSON, and a table of many versions. Of processors: what all threads spent.",
  ),
  part(
    "repository-again",
    "Snapshots after the first",
    measureAgain,
    "Nothing changed, and one fragment added; and opening a snapshot to query it.",
  ),
  part(
    "repository-restore",
    "Restore",
    measureRestore,
    "Verified while it is written; the others do not verify, or not all.",
  ),
  part(
    "repository-verify",
    "Verify",
    measureVerify,
    "Every byte read and hashed, against programs that hash the same files, and the others' own checks.",
  ),
  part(
    "repository-prune",
    "Sizes and prune",
    measurePrune,
    "Five snapshots of a table that grows by a fragment, and one after it was compacted; then all but the newest are pruned, without a grace period.",
  ),
  part(
    "repository-memory",
    "Memory of the repository",
    measurePeak,
    "Peak of the whole process, by the command.",
  ),
  part(
    "small-files",
    "Small files",
    (_data, sizes) => measureSmallFiles(sizes),
    "A tree of small files that do not shrink, by the command and by restic on the same disk: what all threads spent, and the memory of the process.",
  ),
  part(
    "bucket",
    "Repositories in a bucket",
    (_data, sizes) => measureBucket(sizes),
    "A radosgw on this machine, in memory, and restic on the same server in turns; it works on the same processors. A table of 25 fragments (257 MB of vectors), and small files. Requests are counted by a proxy between.",
  ),
  part("command", "The command", measureCommand, "A process of its own each, from its start to its end."),
  part(
    "many-files",
    "Many files and versions",
    measureManyFiles,
    "A table with a data file for each version, compacted now and then.",
  ),
  part(
    "costs",
    "Where the time goes",
    measureCosts,
    "What a system call takes that changes a directory or waits for the disk, one after another in an empty directory. Then operations in a loop: the median of all, what the processors spent on one, and the calls of one by all threads (counted by strace) with what they would take at these prices. The rest is reading, listing and threads that wake each other; and files and directories cost more where thousands were removed within the last minute (performance.md).",
  ),
];

type Measure = (data: BenchData, sizes: Sizes) => Promise<Figure[]> | Figure[];

function part(name: string, title: string, measure: Measure, text: string) {
  return { name, title, measure, text };
}

const args = process.argv.slice(2);
const sizes = args.includes("--quick") ? QUICK : FULL;
const wanted = args.filter((arg) => !arg.startsWith("--"));
const unknown = wanted.filter((name) => !parts.some((part) => part.name === name));
if (unknown.length > 0) {
  console.error(
    `There is no part ${unknown.join(", ")}: choose from ${parts.map(({ name }) => name).join(", ")}.`,
  );
  process.exit(2);
}

// LanceDB's own messages go to the same terminal.
process.env["LANCEDB_LOG"] ??= "error";
rmSync(join(cache, "work"), { recursive: true, force: true });
const data = await makeData(sizes);
const done: Part[] = [];
const here = machine();
for (const { name, title, measure, text } of parts) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`measuring ${name}`);
  const figures = await measure(data, sizes);
  done.push({ name, title, text, figures, commands: takeCommands(), date: here.date, commit: here.commit });
}
report(
  done.flatMap(({ figures }) => figures),
  sizes,
);
if (sizes === FULL) {
  const all = keepParts(
    done,
    parts.map(({ name }) => name),
  );
  console.log(all ? writePage(all, here) : "no page: not every part was measured yet");
}
