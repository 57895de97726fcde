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
