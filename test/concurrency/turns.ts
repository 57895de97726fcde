import { existsSync, readFileSync } from "node:fs";

/** What a program is given that takes turns until it is killed or told to stop. */
export interface TurnsTask {
  readonly seed: number;
  /** A file; when it is there, the program ends by itself. */
  readonly stop: string;
}

export function isStopped(task: TurnsTask): boolean {
  return existsSync(task.stop);
}

/** Whether a process can still do something. A killed one answers to signals until its parent has taken note. */
export function isAlive(pid: number | string | undefined): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/^\) [ZX]/.test(stat.slice(stat.lastIndexOf(")")));
  } catch {
    return false;
  }
}
