import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { BackupStrategy } from "lancedb-backup";
import type { BenchData } from "../data/databases.ts";
import type { Sizes } from "../data/sizes.ts";
import type { Figure } from "../harness/figure.ts";
import { medianOf } from "../harness/measure.ts";

const MEMORY_STEPS = ["create", "restore", "failing-work"] as const;
export type MemoryStep = (typeof MEMORY_STEPS)[number];

const LIMIT_MB = 50;
const child = join(import.meta.dirname, "..", "memory-child.ts");

/** How much a process grows at its highest during one backup or rollback; a process of its own for each run. */
export function measureMemory(data: BenchData, sizes: Sizes): Figure[] {
  const figures: Figure[] = [];
  for (const strategy of Object.values(BackupStrategy)) {
    for (const step of MEMORY_STEPS) {
      const grown = Array.from({ length: sizes.runs.long }, () => growth(data, strategy, step));
      const value = medianOf(grown);
      const name = `${step} ${strategy}`;
      const sample = { name, median: value, min: Math.min(...grown), max: Math.max(...grown), times: grown };
      const target = { kind: "most" as const, limit: LIMIT_MB };
      figures.push({ what: `memory: ${name}`, value, unit: "MB", target, samples: [sample] });
    }
  }
  return figures;
}

function growth(data: BenchData, strategy: BackupStrategy, step: MemoryStep): number {
  const args = [child, data.words, data.oneSmall, strategy, step];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: "utf8" });
  const value = Number(/^grown (-?[\d.]+)$/m.exec(stdout)?.[1]);
  if (status !== 0 || Number.isNaN(value)) throw new Error(`${child} failed: ${stderr || stdout}`);
  return value;
}
