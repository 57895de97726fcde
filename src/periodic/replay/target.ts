import type { Connection } from "@lancedb/lancedb";
import type { LanceDB } from "../../lance/which-lancedb.ts";

/** The database that is written to. */
export interface Target {
  readonly lancedb: LanceDB;
  readonly db: Connection;
  /** Its directory. */
  readonly path: string;
}
