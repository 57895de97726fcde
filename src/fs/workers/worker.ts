import { parentPort } from "node:worker_threads";
import { isError, reasonOf } from "../io.ts";
import { TASKS, type TaskName } from "./file-tasks.ts";

/** A batch of tasks, and what became of each: its result, or what a thread can pass on of its error. */
export interface Batch {
  readonly name: TaskName;
  readonly inputs: readonly unknown[];
}

export type Outcome =
  | { readonly ok: true; readonly result: unknown }
  | { readonly ok: false; readonly message: string; readonly code: string | undefined };

parentPort?.on("message", ({ name, inputs }: Batch) => {
  const outcomes = inputs.map((input) => attempt(name, input));
  parentPort?.postMessage(outcomes);
});

function attempt(name: TaskName, input: unknown): Outcome {
  try {
    return { ok: true, result: (TASKS[name] as (input: unknown) => unknown)(input) };
  } catch (error) {
    const code = isError(error) && "code" in error ? String(error.code) : undefined;
    return { ok: false, message: reasonOf(error), code };
  }
}
