// `npm run bench`: measures against the targets and against other tools, and writes docs/benchmarks.md. `-- --quick` does it on small data, to show that it works.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { type BenchData, makeData } from "./data/databases.ts";
import { cache } from "./data/paths.ts";
import { FULL, QUICK, type Sizes } from "./data/sizes.ts";
import { measureBackups, measureHistory } from "./guard/backup.ts";
import { measureInserts } from "./guard/insert.ts";
import { measureManyTables } from "./guard/many-tables.ts";
import { measureMemory } from "./guard/memory.ts";
import { measureRollbacks } from "./guard/rollback.ts";
import type { Figure } from "./harness/figure.ts";
import { machine } from "./harness/machine.ts";
import { type Part, writePage } from "./harness/page.ts";
import { report } from "./harness/report.ts";
import { measureAgain } from "./repository/again.ts";
import { measureRestore, measureVerify } from "./repository/back.ts";
import { measureFirst } from "./repository/first.ts";

const parts = [
  part(
    "backups",
    "Backup of the guard",
    measureBackups,
    "`createBackup` and `cleanupBackup` of the big table, and fs-extra's `copy` of its directory.",
  ),
  part(
    "history",
    "Backup by the length of the history",
    measureHistory,
    "The same rows with one version and with a thousand.",
  ),
  part(
    "rollbacks",
    "Restore and rollback",
    measureRollbacks,
    "`restoreBackup`, and `withBackup` around work that throws.",
  ),
  part(
    "inserts",
    "Guarded inserts",
    measureInserts,
    "The same rows added plainly and in `withBackup`, as Arrow data, as objects, and a single row.",
  ),
  part(
    "many-tables",
    "Many tables",
    measureManyTables,
    "`withBackup` around a write to one table of a thousand, and to the only one.",
  ),
  part("memory", "Memory", measureMemory, "By how much the process grows."),
  part(
    "repository-first",
    "First snapshot",
    measureFirst,
    "Into an empty repository, against what people would use instead.",
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
    "Every byte hashed, against two processes of openssl on the same files.",
  ),
] as const;

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
for (const { name, title, measure, text } of parts) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`measuring ${name}`);
  done.push({ name, title, text, figures: await measure(data, sizes) });
}
report(
  done.flatMap(({ figures }) => figures),
  sizes,
);
if (sizes === FULL && done.length === parts.length) console.log(writePage(done, machine()));
