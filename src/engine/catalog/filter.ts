import { types } from "node:util";
import { assertKnown } from "../../checks.ts";
import { ValidationError } from "../../errors.ts";
import type { StoredSnapshot } from "../snapshot.ts";

/** Which snapshots are wanted: those that fit in everything that is given. */
export interface SnapshotFilter {
  readonly name?: string | undefined;
  /** The database's id, or its directory: as it is now, or else where it was when the snapshot was taken. */
  readonly source?: string | undefined;
  /** Those that have all of these. */
  readonly tags?: readonly string[] | undefined;
  /** Captured before this moment. */
  readonly before?: Date | undefined;
  /** Captured at this moment or later. */
  readonly after?: Date | undefined;
}

/** @throws ValidationError, TypeError */
export function assertFilter(filter: SnapshotFilter): void {
  assertKnown(filter, "list", { name: true, source: true, tags: true, before: true, after: true });
  const { name, source, tags, before, after } = filter;
  for (const [key, value] of Object.entries({ name, source })) {
    if (value !== undefined && typeof value !== "string") throw new TypeError(`${key} must be a string.`);
  }
  if (tags !== undefined && !(Array.isArray(tags) && tags.every((tag) => typeof tag === "string"))) {
    throw new TypeError("tags must be an array of strings.");
  }
  for (const [key, value] of Object.entries({ before, after })) {
    if (value === undefined) continue;
    if (!types.isDate(value)) throw new TypeError(`${key} must be a Date.`);
    if (Number.isNaN(value.getTime())) throw new ValidationError(`${key} is no valid date.`);
  }
}

/** But for the source, which can only be told from all of them. */
export function fits(snapshot: StoredSnapshot, filter: Omit<SnapshotFilter, "source">): boolean {
  const { name, tags = [], before, after } = filter;
  return (
    (name === undefined || snapshot.name === name) &&
    tags.every((tag) => snapshot.tags.includes(tag)) &&
    (before === undefined || snapshot.createdAt < before) &&
    (after === undefined || snapshot.createdAt >= after)
  );
}

/** For sorting: the newest first, of one moment the greatest id. */
export function newestFirst(
  a: Pick<StoredSnapshot, "createdAt" | "id">,
  b: Pick<StoredSnapshot, "createdAt" | "id">,
): number {
  return b.createdAt.getTime() - a.createdAt.getTime() || (a.id < b.id ? 1 : -1);
}
