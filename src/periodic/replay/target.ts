import type { Connection } from "@lancedb/lancedb";

/** The database that is written to. */
export interface Target {
  readonly db: Connection;
  /** Its directory. */
  readonly path: string;
}
