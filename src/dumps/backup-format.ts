/** How a dump is written. */
export const BackupFormat = {
  /** A script of SQL. MySQL's only one. */
  Sql: "sql",
  /** The database's own: an archive of pg_dump, or a SQLite database as it is. */
  Custom: "custom",
  /** PostgreSQL: a directory with a file a table. */
  Directory: "directory",
  /** PostgreSQL: an archive that `tar` lists. */
  Tar: "tar",
} as const;

export type BackupFormat = (typeof BackupFormat)[keyof typeof BackupFormat];

/** Kinds of databases of which plain dumps are kept. */
export const DUMP_TYPES = ["sqlite", "postgresql", "mysql"] as const;

export type DumpType = (typeof DUMP_TYPES)[number];

/** A dump that is kept in a directory. */
export interface BackupMetadata {
  /** As it was called. Several may have one name. */
  readonly name: string;
  /** When it was taken. */
  readonly timestamp: Date;
  readonly databaseName: string;
  readonly format: BackupFormat;
  /** Of the file, or of all files of the directory. */
  readonly sizeBytes: number;
  /** Absolute. A directory where `format` is. */
  readonly filePath: string;
  /** By which one of several of a name is meant. */
  readonly id: string;
  /** SHA-256 of the file, hexadecimal; of a directory, of the lines `<SHA-256>  <path>` of its files, sorted by path. */
  readonly checksum: string;
}
