import { randomUUID } from "node:crypto";
import { isProcessIdentity, type ProcessIdentity, thisProcess } from "../fs/this-process.ts";

/** Who holds a lock or a journal entry: enough to tell whether that process is still alive. */
export interface Owner extends ProcessIdentity {
  /** One for each guarded operation. */
  readonly operation: string;
  /** ISO 8601. */
  readonly since: string;
}

export function newOwner(): Owner {
  return { ...thisProcess, operation: randomUUID(), since: new Date().toISOString() };
}

export function describeOwner(owner: Owner): string {
  return `process ${owner.pid} on ${owner.host}, since ${owner.since}`;
}

/** Holds a value that was read from a file to the shape of an owner. */
export function isOwner(value: unknown): value is Owner {
  if (!isProcessIdentity(value)) return false;
  const owner = value as unknown as Record<string, unknown>;
  return ["operation", "since"].every((key) => typeof owner[key] === "string");
}
