import type { OnProgress, Progress } from "../../repository/index.ts";
import { counted, formatBytes, formatCount, formatDuration } from "../../util/format.ts";
import type { Screen } from "./screen.ts";
import { cut } from "./table.ts";

/** Shows how far long work has come: a bar on a terminal, a line now and then elsewhere. */
export interface ProgressDisplay {
  readonly onProgress: OnProgress;
  /** Takes the bar away. */
  end(): void;
}

const REDRAW_MS = 100;
const LINE_MS = 10_000;
const BAR_COLUMNS = 24;

const DOING: Record<Progress["phase"], string> = {
  capture: "Looking",
  read: "Reading",
  write: "Writing",
  verify: "Checking",
  sync: "Syncing",
  copy: "Copying",
};

export const noProgress: ProgressDisplay = { onProgress: () => undefined, end: () => undefined };

export function showProgress(screen: Screen, now: () => number = () => performance.now()): ProgressDisplay {
  const { isTerminal } = screen.terminal;
  let last: Progress | undefined;
  let phaseStart = 0;
  let shownAt = Number.NEGATIVE_INFINITY;
  let saidAt = now();
  return {
    onProgress(progress) {
      const time = now();
      if (progress.phase !== last?.phase) {
        if (last && !isTerminal) screen.line(doneLine(last));
        phaseStart = time;
        saidAt = time;
        shownAt = Number.NEGATIVE_INFINITY;
      }
      last = progress;
      const elapsed = time - phaseStart;
      if (isTerminal && time - shownAt >= REDRAW_MS) {
        shownAt = time;
        screen.status(barLine(progress, elapsed, screen.terminal.columns - 1));
      } else if (!isTerminal && time - saidAt >= LINE_MS) {
        saidAt = time;
        screen.line(parts(progress, elapsed).join(", "));
      }
    },
    end() {
      screen.status("");
      if (last && !isTerminal) screen.line(doneLine(last));
      last = undefined;
    },
  };
}

function doneLine({ phase, files, bytes }: Progress): string {
  return `${DOING[phase]}: ${counted(files, "file")}, ${formatBytes(bytes)}`;
}

/** Percent and rate come first, then bytes, files and the time left, and last the bar itself: what fits is shown. */
export function barLine(progress: Progress, elapsedMs: number, columns: number): string {
  const [head = "", files = "", bytes = "", rate = "", left = ""] = parts(progress, elapsedMs);
  const share = shareOf(progress);
  const full = Math.round(share * BAR_COLUMNS);
  const percent = `${String(Math.floor(share * 100)).padStart(3)}%`;
  const bar = `[${"#".repeat(full)}${"-".repeat(BAR_COLUMNS - full)}] ${percent}`;
  const choices = [[files, bytes, rate, left], [files, bytes, rate], [bytes, rate], [rate], []];
  const lines = choices.flatMap((texts) =>
    [bar, percent].map((shown) => [`${head.padEnd(8)} ${shown}`, ...texts.filter(Boolean)].join("  ")),
  );
  return lines.find((line) => line.length <= columns) ?? cut(lines.at(-1) ?? "", columns);
}

function parts(progress: Progress, elapsedMs: number): string[] {
  const { phase, files, bytes, totalFiles, totalBytes } = progress;
  const rate = elapsedMs > 0 ? (bytes / elapsedMs) * 1000 : 0;
  const list = [
    DOING[phase],
    `${formatCount(files)} of ${counted(totalFiles, "file")}`,
    `${formatBytes(bytes)} of ${formatBytes(totalBytes)}`,
  ];
  if (rate > 0) list.push(`${formatBytes(rate)}/s`);
  const share = shareOf(progress);
  const leftMs = share > 0 ? (elapsedMs / share) * (1 - share) : undefined;
  if (leftMs !== undefined && elapsedMs >= 1000) list.push(`${formatDuration(Math.max(1000, leftMs))} left`);
  return list;
}

function shareOf({ files, bytes, totalFiles, totalBytes }: Progress): number {
  const share = totalBytes > 0 ? bytes / totalBytes : totalFiles > 0 ? files / totalFiles : 0;
  return Math.min(1, share);
}
