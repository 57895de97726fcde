import { Worker } from "node:worker_threads";
import type { OwnProgram } from "./build-facts.ts";

/**
 * A thread that runs a program of ours. Undefined where the system has none to give: a container's limit of processes counts
 * threads, too. The work can be done with fewer then, or without any.
 */
export function startThread(program: OwnProgram): Worker | undefined {
  try {
    return "file" in program ? new Worker(program.file) : new Worker(program.code, { eval: true });
  } catch {
    return undefined;
  }
}
