/**
 * What can be said of a source that is named by an address. Each kind of source has some of them, and refuses the others by
 * name.
 */
export interface SourceUrlOptions {
  /**
   * By which its snapshots belong together, in place of what is kept beside it or made of the address: 1 to 100 letters, digits and `_ . : + @ -`.
   */
  readonly sourceId?: string | undefined;
  /** Files: patterns as in `.gitignore`. */
  readonly exclude?: readonly string[] | undefined;
  /** Files: files that hold such patterns, a line each. */
  readonly excludeFrom?: readonly string[] | undefined;
  /** Files: whether what is mounted below the directory is left out. Default true. */
  readonly oneFileSystem?: boolean | undefined;
  /** PostgreSQL: schemas, by names and patterns with `*` and `?`. Default: all. */
  readonly schemas?: readonly string[] | undefined;
  /** PostgreSQL: schemas that are left out. */
  readonly excludeSchemas?: readonly string[] | undefined;
  /** PostgreSQL, MySQL: tables, by names and patterns; of PostgreSQL also `schema.table`. Default: all. */
  readonly tables?: readonly string[] | undefined;
  /** PostgreSQL, MySQL: tables that are left out. */
  readonly excludeTables?: readonly string[] | undefined;
  /** PostgreSQL: how it is dumped. */
  readonly format?: "sql" | "custom" | "directory" | "tar" | undefined;
  /** PostgreSQL: whether roles and tablespaces come along. */
  readonly globals?: boolean | undefined;
  /** SQLite: written anew without what is free in it, which takes a lock for longer. */
  readonly compact?: boolean | undefined;
  /** Databases: processes or connections at a time. */
  readonly jobs?: number | undefined;
  /** PostgreSQL, MySQL: where the client programs are. Default: the usual places of each version, and PATH. */
  readonly binDir?: string | undefined;
  /** Milliseconds that it may take to read it. */
  readonly timeoutMs?: number | undefined;
  /** Commands: the program and its arguments, in place of the address's. No shell is asked. */
  readonly argv?: readonly string[] | undefined;
  /** Commands, databases: environment of the programs, besides this process's own. Passwords belong here. */
  readonly env?: Readonly<Record<string, string>> | undefined;
}

/** Two letters at least: one is a drive of Windows. */
const SCHEME = /^([a-z][a-z0-9+.-]+):/i;

/** In lower case; undefined for a path. */
export function schemeOfSource(url: string): string | undefined {
  return SCHEME.exec(url)?.[1]?.toLowerCase();
}
