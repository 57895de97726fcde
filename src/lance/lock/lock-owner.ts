import { randomUUID } from "node:crypto";
import { livenessAtOnce, livenessBySign } from "../../fs/sign-of-life.ts";
import {
  isProcessIdentity,
  type Liveness,
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

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;

/** What operations of this process have let go of, though their mark is on the disk still: how to take it off. */
const letGo = new Map<string, () => boolean>();
let pause = FIRST_PAUSE_MS;
let timer: NodeJS.Timeout | undefined;

/**
 * Has this process treat what an operation holds as given back, although its mark could not be taken off the disk: the
 * directory is away, or the disk is full. It is tried again, soon and then every few seconds, until it works; others
 * find it held up to then.
 *
 * @param hold what it is of all that the operation holds
 * @param takeOff takes the mark off; true when that is done, or there is none any more. Never throws.
 */
export function letGoOf({ operation }: Owner, hold: string, takeOff: () => boolean): void {
  letGo.set(keyOf(operation, hold), takeOff);
  pause = FIRST_PAUSE_MS;
  clearTimeout(timer);
  schedule();
}

/** Tries again to take off the disk what operations of this process have let go of. */
export function takeOffAll(): void {
  for (const [key, takeOff] of letGo) if (takeOff()) letGo.delete(key);
}

function schedule(): void {
  timer = setTimeout(() => {
    takeOffAll();
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    timer = undefined;
    if (letGo.size > 0) schedule();
  }, pause).unref();
}

function keyOf(operation: string, hold: string): string {
  return `${operation} ${hold}`;
}

/**
 * Whether an owner holds something still. `dead`, too, where this process has let go of it.
 *
 * @param file what shows its signs of life
 */
export async function livenessOfOwner(owner: Owner, hold: string, file: string): Promise<Liveness> {
  return isLetGo(owner, hold) ? "dead" : livenessBySign(owner, file);
}

/** The same at once: where only watching could tell, `alive`. */
export function livenessOfOwnerAtOnce(owner: Owner, hold: string, file: string): Liveness {
  return isLetGo(owner, hold) ? "dead" : livenessAtOnce(owner, file);
}

function isLetGo({ operation }: Owner, hold: string): boolean {
  return ended.has(operation) || letGo.has(keyOf(operation, hold));
}

const ended = new Set<string>();

/** Has this process treat all that an operation still holds as a dead one's. */
export function endOperation({ operation }: Owner): void {
  ended.add(operation);
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
