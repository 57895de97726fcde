import type { BenchData } from "../data/databases.ts";

/** What each operation works on. */
export const OPERATIONS = {
  "plain add": "inserts",
  "add in withBackup, lance-version": "inserts",
  "add in withBackup, directory-copy": "inserts",
  "createBackup lance-version": "words",
  "createBackup directory-copy": "words",
  "delta where a commit changed no row": "wordsWithoutIndex",
  "snapshot, nothing changed": "words",
  openSnapshot: "words",
} as const satisfies Readonly<Record<string, keyof BenchData>>;

export type Operation = keyof typeof OPERATIONS;
