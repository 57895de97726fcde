import type { ShrunkTable } from "../util/shrunk-tables.ts";

/** How far long work has come. Numbers only grow within a phase. */
export interface Progress {
  readonly phase: "capture" | "read" | "write" | "verify" | "sync" | "copy";
  readonly files: number;
  readonly bytes: number;
  readonly totalFiles: number;
  readonly totalBytes: number;
  /** Of a backup, told once with the phase `capture`: tables that are gone, or have far fewer rows than before. */
  readonly shrunk?: readonly ShrunkTable[] | undefined;
}

export type OnProgress = (progress: Progress) => void;
