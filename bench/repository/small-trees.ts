import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Sizes } from "../data/sizes.ts";
import { amount, type Figure, ratio } from "../harness/figure.ts";
import { sampleOf } from "../harness/measure.ts";
import { installed, peakMemory, processorTime } from "../harness/tools.ts";

const COMMAND = join(import.meta.dirname, "../../dist/cli/main.js");

type Program = [program: string, args: readonly string[]];

/** A tree of small files, backed up by this package's command and by restic on the same disk, each into a new place. */
export async function measureSmallFiles(
  sizes: Sizes,
  files = sizes.name === "quick" ? 500 : 20_000,
): Promise<Figure[]> {
  const place = mkdtempSync(join(tmpdir(), "lancedb-backup-bench-files-"));
  try {
    const tree = join(place, "tree");
    makeTree(tree, files);
    const ours = (...args: string[]): Program => [
      process.execPath,
      [COMMAND, "--quiet", ...args, "--repo", join(place, "ours")],
    ];
    const restic = (...args: string[]): Program => [
      "restic",
      ["--no-cache", "-q", "-r", join(place, "restic"), ...args],
    ];
    const contenders = [
      { name: "lancedb-backup", of: ours, backup: ours("backup", `file://${tree}`) },
      { name: "restic", of: restic, backup: restic("backup", tree) },
    ].filter(({ name }) => name !== "restic" || installed("restic"));
    const runs = Array.from({ length: sizes.runs.long }, (_, run) => run);
    const spent = new Map<string, number[]>();
    for (const _ of runs) {
      for (const { name, of, backup } of contenders) {
        rmSync(join(place, name === "restic" ? name : "ours"), { recursive: true, force: true });
        await processorTime(...of("init"));
        for (const when of ["first", "unchanged"]) {
          const times = spent.get(`${when}, ${name}`) ?? [];
          spent.set(`${when}, ${name}`, [...times, await processorTime(...backup)]);
        }
      }
    }
    const sample = (what: string) => sampleOf(what, spent.get(what) ?? []);
    const about = (what: string) => `${files} small files, ${what}`;
    const figures = [...spent].map(([what, times]) => amount(`${about(what)}: of processors`, "ms", times));
    for (const when of contenders.length > 1 ? ["first", "unchanged"] : []) {
      const [own, other] = [sample(`${when}, lancedb-backup`), sample(`${when}, restic`)];
      figures.push(ratio(`${about(when)} / restic: of processors`, own, other));
    }
    if (process.platform !== "linux") return figures;
    for (const { name, of, backup } of contenders) {
      rmSync(join(place, name === "restic" ? name : "ours"), { recursive: true, force: true });
      await processorTime(...of("init"));
      const back = join(place, `back of ${name}`);
      const restore =
        name === "restic" ? of("restore", "latest", "--target", back) : of("restore", "latest", back);
      for (const [when, program] of [
        ["first", backup],
        ["unchanged", backup],
        ["restore", restore],
      ] as const) {
        figures.push(amount(about(`memory, ${when}, ${name}`), "MB", [await peakMemory(...program)]));
      }
    }
    return figures;
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** Of 240 bytes to 36 kB, that do not shrink much; the same at each run. */
function makeTree(root: string, files: number): void {
  let seed = 1;
  const random = () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    return seed / 0x7fffffff;
  };
  for (let index = 0; index < files; index++) {
    const directory = join(root, `d${Math.floor(index / 1000)}/e${Math.floor(index / 100) % 10}`);
    if (index % 100 === 0) mkdirSync(directory, { recursive: true });
    const content = Buffer.allocUnsafe(Math.floor(Math.exp(random() * 5 + 5.5)));
    for (let at = 0; at < content.length; at++) content[at] = Math.floor(random() * 256);
    writeFileSync(join(directory, `f${index}`), content);
  }
}
