import { join } from "node:path";
import { connect, type Table } from "@lancedb/lancedb";
import type { RecordBatch } from "apache-arrow";
import { loadBackup } from "lancedb-backup";
import type { BenchData } from "../data/databases.ts";
import type { Sizes } from "../data/sizes.ts";
import { amount, type Figure, ratio, time } from "../harness/figure.ts";
import { type Contender, type Sample, takeTurns } from "../harness/measure.ts";
import { quiet } from "../harness/quiet.ts";
import { settleDisk } from "../harness/sync.ts";
import { peakMemory } from "../harness/tools.ts";
import { PeriodicPlace } from "./place.ts";

const BATCH_ROWS = 8192;
const FORMATS = ["arrow", "json"] as const;
const MEMORY = join(import.meta.dirname, "..", "periodic-child.ts");

async function scan(table: Table): Promise<void> {
  const query = table.query() as unknown as {
    execute(options: { maxBatchLength: number }): AsyncIterable<RecordBatch>;
  };
  for await (const batch of query.execute({ maxBatchLength: BATCH_ROWS })) batch.numRows;
}

/** Fulls in both formats against a scan that writes nothing, and the way back. */
export async function measureFulls(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  using place = new PeriodicPlace(data.wordsWithoutIndex);
  const files: Partial<Record<(typeof FORMATS)[number], string>> = {};
  const scans: Contender = {
    name: "plain scan",
    run: async () => {
      const table = await (await connect(place.uri)).openTable("words");
      await scan(table);
      table.close();
    },
  };
  const full = (fileFormat: "arrow" | "json"): Contender => ({
    name: `full, ${fileFormat}`,
    before: () => {
      place.clear(fileFormat);
      settleDisk(place.root);
    },
    run: async () => {
      const backupDir = join(place.root, fileFormat);
      files[fileFormat] = await place.manager({ fileFormat, backupDir }).backupFull();
    },
  });
  const load = (format: "arrow" | "json"): Contender => ({
    name: `load, ${format}`,
    before: () => {
      place.clear("loaded");
      settleDisk(place.root);
    },
    run: async () => {
      (await loadBackup(files[format] ?? "", join(place.root, "loaded"), { logger: quiet })).close();
      settleDisk(place.root);
    },
    after: () => void place.clear("loaded"),
  });
  const [scanned, arrow] = (await takeTurns([scans, full("arrow")], sizes.runs.long)) as [Sample, Sample];
  // Text of 1.4 GB takes its time: not in turn with what is quick.
  const json = await takeTurns([full("json")], sizes.runs.slow);
  const loads = [
    ...(await takeTurns([load("arrow")], sizes.runs.slow)),
    ...(await takeTurns([load("json")], sizes.runs.slow)),
  ];
  const figures = [
    time("plain scan, batches of 8,192", scanned),
    ...[arrow, ...json, ...loads].map((sample) => time(sample.name, sample)),
    ratio("full, arrow / plain scan", arrow, scanned, { kind: "most", limit: 2 }),
  ];
  if (process.platform !== "linux") return figures;
  for (const format of FORMATS) {
    for (const step of ["full", "load"]) {
      const from = step === "full" ? place.uri : (files[format] ?? "");
      const peaks: number[] = [];
      for (let run = 0; run < sizes.runs.slow; run++) {
        peaks.push(await peakMemory(process.execPath, [MEMORY, step, format, from, place.clear("memory")]));
        place.clear("memory");
      }
      const target = { kind: "most" as const, limit: 400 };
      figures.push(amount(`memory of the whole process, ${step}, ${format}`, "MB", peaks, target));
    }
  }
  return figures;
}
