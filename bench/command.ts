import { join } from "node:path";
import type { BenchData } from "./data/databases.ts";
import type { Sizes } from "./data/sizes.ts";
import { type Figure, time } from "./harness/figure.ts";
import { takeTurns } from "./harness/measure.ts";
import { run } from "./harness/tools.ts";
import { RepositoryPlace } from "./repository/place.ts";

const COMMAND = join(import.meta.dirname, "..", "dist", "cli", "main.js");
const LIMIT_MS = 250;

/** What is to be there at once. */
export async function measureCommand(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  using place = new RepositoryPlace(data.words);
  const repository = await place.newRepository("ours");
  for (let n = 0; n < 10; n++) await repository.backup({ source: place.uri });
  const all = [["--help"], ["list", "--repo", repository.location]].map((args) => ({
    name: `lancedb-backup ${args[0]}`,
    run: () => run(process.execPath, [COMMAND, ...args]),
  }));
  const samples = await takeTurns(all, Math.max(5, sizes.runs.long));
  return samples.map((sample) => time(sample.name, sample, LIMIT_MS));
}
