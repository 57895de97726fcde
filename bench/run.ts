// `npm run bench`: measures the guard against its targets. `-- --quick` does it on small data, to show that it works.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { makeData } from "./data/databases.ts";
import { cache } from "./data/paths.ts";
import { FULL, QUICK } from "./data/sizes.ts";
import { measureBackups, measureHistory } from "./guard/backup.ts";
import { measureInserts } from "./guard/insert.ts";
import { measureManyTables } from "./guard/many-tables.ts";
import { measureMemory } from "./guard/memory.ts";
import { measureRollbacks } from "./guard/rollback.ts";
import type { Figure } from "./harness/figure.ts";
import { report } from "./harness/report.ts";

const parts = {
  backups: measureBackups,
  history: measureHistory,
  rollbacks: measureRollbacks,
  inserts: measureInserts,
  "many-tables": measureManyTables,
  memory: measureMemory,
} as const;

const args = process.argv.slice(2);
const sizes = args.includes("--quick") ? QUICK : FULL;
const wanted = args.filter((arg) => !arg.startsWith("--"));
const unknown = wanted.filter((name) => !(name in parts));
if (unknown.length > 0) {
  console.error(`There is no part ${unknown.join(", ")}: choose from ${Object.keys(parts).join(", ")}.`);
  process.exit(2);
}

// LanceDB's own messages go to the same terminal.
process.env["LANCEDB_LOG"] ??= "error";
rmSync(join(cache, "work"), { recursive: true, force: true });
const data = await makeData(sizes);
const figures: Figure[] = [];
for (const [name, measure] of Object.entries(parts)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`measuring ${name}`);
  figures.push(...(await measure(data, sizes)));
}
report(figures, sizes);
