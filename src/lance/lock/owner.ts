import { randomUUID } from "node:crypto";
import {
  isProcessIdentity,
  type Liveness,
  livenessOf,
  type ProcessIdentity,
  thisProcess,
} from "../../fs/this-process.ts";

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

/** Operations of this process that have ended and could not take their mark off the disk. */
const ended = new Set<string>();

/** Has this process treat what the operation still holds as a dead one's; others do so when it ends. */
export function endOperation(owner: Pick<Owner, "operation">): void {
  ended.add(owner.operation);
}

export function livenessOfOwner(owner: Owner): Liveness {
  return ended.has(owner.operation) ? "dead" : livenessOf(owner);
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
