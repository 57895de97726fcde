/** How far long work has come. Numbers only grow within a phase. */
export interface Progress {
  readonly phase: "capture" | "read" | "write" | "verify" | "sync";
  readonly files: number;
  readonly bytes: number;
  readonly totalFiles: number;
  readonly totalBytes: number;
}

export type OnProgress = (progress: Progress) => void;
