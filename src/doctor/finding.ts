/**
 * `ok`: as it should be. `note`: worth knowing. `warning`: will hurt some day, or holds something up. `problem`: something
 * does not work, or is lost if nothing is done.
 */
export type FindingLevel = "ok" | "note" | "warning" | "problem";

/** One thing that a diagnosis looked at. */
export interface Finding {
  /** What kind of thing: `node`, `lancedb`, `links`, `space`, `table`, `tags`, `journal`, `leftovers`, `repository`, … */
  readonly check: string;
  /** Which one: a table's id, a path, an entry's id. */
  readonly about: string;
  readonly level: FindingLevel;
  /** What is the case, in a sentence. */
  readonly details: string;
  /** What to do about it. */
  readonly advice?: string | undefined;
}
