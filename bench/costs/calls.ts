import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cache } from "../data/paths.ts";

/** System calls that change a directory or wait for the disk. */
export const KINDS = ["files", "directories", "links", "renames", "removals", "syncs"] as const;
export type Kind = (typeof KINDS)[number];
export type Calls = Readonly<Record<Kind, number>>;

const KIND_OF: Readonly<Record<string, Kind>> = {
  openat: "files",
  mkdir: "directories",
  link: "links",
  linkat: "links",
  rename: "renames",
  renameat: "renames",
  renameat2: "renames",
  unlink: "removals",
  unlinkat: "removals",
  rmdir: "removals",
  fsync: "syncs",
  fdatasync: "syncs",
};

/** The program to be counted makes this directory before and after what counts. */
export const MARK = "lancedb-backup-bench-mark";

const CALL = /^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*)= (-?\d+)/;

/** The calls that succeed between a program's two marks, by all of its threads. strace counts them. */
export function countCalls(args: readonly string[]): Calls {
  const directory = mkdtempSync(join(cache, "trace-"));
  try {
    const trace = join(directory, "calls");
    const traced = Object.keys(KIND_OF).join(",");
    const strace = ["-f", "--seccomp-bpf", "-qq", "-e", "signal=none", "-e", `trace=${traced}`, "-o", trace];
    const { status, stderr } = spawnSync("strace", [...strace, process.execPath, ...args], {
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(`${args.join(" ")} failed under strace: ${stderr}`);
    return callsIn(readFileSync(trace, "utf8"));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function callsIn(trace: string): Calls {
  const counted: Record<Kind, number> = {
    files: 0,
    directories: 0,
    links: 0,
    renames: 0,
    removals: 0,
    syncs: 0,
  };
  let marks = 0;
  // A call that another thread interrupts is written in two parts, the name of a file and the flags in the first.
  const begun = new Map<string, string>();
  for (const line of trace.split("\n")) {
    const thread = line.slice(0, line.indexOf(" "));
    if (line.endsWith("<unfinished ...>")) begun.set(thread, line);
    const [, call = "", rest = "", result = "-1"] = CALL.exec(line) ?? [];
    const kind = KIND_OF[call];
    if (!kind || Number(result) < 0) continue;
    const whole = line.includes(" resumed>") ? `${begun.get(thread) ?? ""}${rest}` : line;
    if (whole.includes(MARK)) marks += kind === "directories" ? 1 : 0;
    else if (marks === 1 && (kind !== "files" || whole.includes("O_CREAT"))) counted[kind] += 1;
  }
  if (marks !== 2) throw new Error(`${marks} marks in the place of two`);
  return counted;
}
