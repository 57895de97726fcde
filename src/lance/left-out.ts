import { assertOneOf } from "../checks.ts";
import { ValidationError } from "../errors.ts";
import { reasonOf } from "../fs/io.ts";
import { NAMESPACE_TABLE } from "./database.ts";

// Tables that a backup leaves out: because it was told to, or because they cannot be captured in full.

/** What becomes of a backup where a table cannot be captured in full. */
export type OnUnsupported = "fail" | "leave-out";

/** A table that is not in a backup. */
export interface LeftOutTable {
  /** Its id, `ns$table` in a namespace. */
  readonly table: string;
  readonly why: "excluded" | "unsupported";
  /** The same in words; what it uses, where it is unsupported. */
  readonly what: string;
}

/** Which tables a backup leaves out. */
export interface Exclusions {
  /**
   * Ids of tables, in which `*` stands for any characters and `?` for one: `scratch`, `tmp_*`, `ns$*`. One that fits
   * no table is no error.
   */
  readonly exclude?: readonly string[] | undefined;
  /**
   * What becomes of the backup where a table cannot be captured in full, as a shallow clone. Default `fail`: no
   * backup. `leave-out` backs up the others, and names this one in the backup and in a warning.
   */
  readonly onUnsupported?: OnUnsupported | undefined;
}

/** @throws TypeError, ValidationError. */
export function assertExclusions({ exclude, onUnsupported }: Exclusions): void {
  if (exclude !== undefined && !Array.isArray(exclude)) {
    throw new TypeError("exclude must be an array of tables' ids or patterns.");
  }
  for (const pattern of exclude ?? []) assertPattern(pattern);
  assertOneOf(onUnsupported, "onUnsupported", ["fail", "leave-out"]);
}

function assertPattern(pattern: unknown): void {
  if (typeof pattern !== "string") {
    throw new TypeError(`exclude must hold tables' ids or patterns, not ${typeof pattern}.`);
  }
  if (pattern === "") throw new ValidationError("exclude holds an empty pattern, which fits no table's id.");
  if (pattern === NAMESPACE_TABLE) {
    throw new ValidationError(
      `exclude names ${NAMESPACE_TABLE}, which is LanceDB's own: without it LanceDB finds no table in a namespace.`,
    );
  }
}

/** Whether a table's id fits one of these patterns. The list of namespaces fits none. */
export function excluder(patterns: readonly string[] = []): (id: string) => boolean {
  const tests = patterns.map((pattern) => new RegExp(`^${[...pattern].map(part).join("")}$`, "su"));
  return (id) => id !== NAMESPACE_TABLE && tests.some((test) => test.test(id));
}

function part(character: string): string {
  if (character === "*") return ".*";
  if (character === "?") return ".";
  return /[\w\s]/.test(character) ? character : character.replace(/[\\^$.+()[\]{}|/]/u, "\\$&");
}

export function excluded(table: string): LeftOutTable {
  return { table, why: "excluded", what: "it was excluded" };
}

export function unsupported(table: string, error: unknown): LeftOutTable {
  return { table, why: "unsupported", what: reasonOf(error) };
}
