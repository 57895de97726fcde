import { ValidationError } from "../errors.ts";

/**
 * How a guarded operation keeps the way back.
 *
 * `directory-copy`: every file of every version under `<backupDir>/<id>/`, as links where the file system
 * can. LanceDB opens it as it is, and it survives the loss of the database directory (a true copy, with
 * `link: "copy"`, survives the loss of the files too).
 *
 * `lance-version`: the newest version's number, and links that keep its files alive through any cleanup.
 * Cheaper; lives inside the database directory.
 */
export const BackupStrategy = { DirectoryCopy: "directory-copy", LanceVersion: "lance-version" } as const;
export type BackupStrategy = (typeof BackupStrategy)[keyof typeof BackupStrategy];

/** @throws ValidationError where no strategy has this name. */
export function assertStrategy(name: unknown): asserts name is BackupStrategy {
  const names: readonly unknown[] = Object.values(BackupStrategy);
  if (names.includes(name)) return;
  throw new ValidationError(
    `${JSON.stringify(name)} is not a backup strategy: use "${names.join('" or "')}".`,
  );
}
