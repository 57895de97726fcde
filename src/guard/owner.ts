import { randomUUID } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/** Who holds a lock or a journal entry: enough to tell whether that process is still alive. */
export interface Owner {
  readonly host: string;
  /** Changes at every start of the machine. Linux only. */
  readonly bootId: string | null;
  /** The process-id namespace: the same number means another process in another container. Linux only. */
  readonly pidNamespace: string | null;
  readonly pid: number;
  /** In clock ticks since boot: a reused process id has another. Linux only. */
  readonly startTime: string | null;
  /** One for each guarded operation. */
  readonly operation: string;
  /** ISO 8601. */
  readonly since: string;
}

export type Liveness = "alive" | "dead" | "unknown";

const self = {
  host: hostname(),
  bootId: readText("/proc/sys/kernel/random/boot_id"),
  pidNamespace: readLink("/proc/self/ns/pid"),
  pid: process.pid,
  startTime: processStat(process.pid)?.startTime ?? null,
};

export function newOwner(): Owner {
  return { ...self, operation: randomUUID(), since: new Date().toISOString() };
}

/**
 * Whether an owner's process lives. `unknown` where that cannot be seen from here: another host, another
 * container.
 */
export function livenessOf(owner: Owner): Liveness {
  if (owner.host !== self.host) return "unknown";
  if (owner.bootId !== null && owner.bootId !== self.bootId) return "dead";
  if (owner.pidNamespace !== self.pidNamespace) return "unknown";
  if (owner.startTime === null) return signalable(owner.pid) ? "alive" : "dead";
  const stat = processStat(owner.pid);
  if (!stat || stat.startTime !== owner.startTime) return "dead";
  return stat.state === "Z" || stat.state === "X" ? "dead" : "alive";
}

export function describeOwner(owner: Owner): string {
  return `process ${owner.pid} on ${owner.host}, since ${owner.since}`;
}

/** Holds a value that was read from a file to the shape of an owner. */
export function isOwner(value: unknown): value is Owner {
  if (typeof value !== "object" || value === null) return false;
  const owner = value as Record<string, unknown>;
  const texts = ["host", "operation", "since"].every((key) => typeof owner[key] === "string");
  const maybe = ["bootId", "pidNamespace", "startTime"].every(
    (key) => owner[key] === null || typeof owner[key] === "string",
  );
  return texts && maybe && Number.isSafeInteger(owner["pid"]) && (owner["pid"] as number) > 0;
}

function signalable(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** Fields 3 and 22 of `/proc/<pid>/stat`; the name before them may hold spaces and brackets. */
function processStat(pid: number): { state: string; startTime: string } | undefined {
  const text = readText(`/proc/${pid}/stat`);
  const fields = text?.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, startTime] = [fields?.[0], fields?.[19]];
  return state && startTime ? { state, startTime } : undefined;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return null; // not Linux, or no such process
  }
}

function readLink(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null; // not Linux
  }
}
