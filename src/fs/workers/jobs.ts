import { checkTask } from "./check-task.ts";
import { copyTask } from "./file-tasks.ts";
import { hashFile } from "./hash-file.ts";
import { restoreTask } from "./restore-task.ts";

/** What a worker thread can be asked to do. Each task is done in one go, and holds its thread meanwhile. */
export const TASKS = {
  check: checkTask,
  copy: copyTask,
  restore: restoreTask,
  hash: ({ path }: { path: string }) => hashFile(path),
};

export type TaskName = keyof typeof TASKS;
export type TaskInput<K extends TaskName> = Parameters<(typeof TASKS)[K]>[0];
export type TaskResult<K extends TaskName> = ReturnType<(typeof TASKS)[K]>;
