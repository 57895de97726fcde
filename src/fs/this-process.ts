import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { errnoOf } from "./io.ts";

/** A process on some machine: enough to tell, later and from elsewhere, whether it is still alive. */
export interface ProcessIdentity {
  readonly host: string;
  /** Changes at every start of the machine. Linux only. */
  readonly bootId: string | null;
  /** The process-id namespace: the same number means another process in another container. Linux only. */
  readonly pidNamespace: string | null;
  readonly pid: number;
  /** In clock ticks since boot: a reused process id has another. Linux only. */
  readonly startTime: string | null;
}

export type Liveness = "alive" | "dead" | "unknown";

export const thisProcess: ProcessIdentity = {
  host: hostname(),
  bootId: readText("/proc/sys/kernel/random/boot_id"),
  pidNamespace: readLink("/proc/self/ns/pid"),
  pid: process.pid,
  startTime: processStat(process.pid)?.startTime ?? null,
};

/**
 * Whether a process lives. `unknown` where that cannot be seen from here: another host, another container, or a
 * process of another user that the system hides.
 */
export function livenessOf(other: ProcessIdentity): Liveness {
  if (other.host !== thisProcess.host) return "unknown";
  if (other.bootId !== null && other.bootId !== thisProcess.bootId) return "dead";
  if (other.pidNamespace !== thisProcess.pidNamespace) return "unknown";
  if (other.pid === process.pid && other.startTime === thisProcess.startTime) return "alive";
  if (other.startTime === null) return signalable(other.pid) ? "alive" : "dead";
  const stat = processStat(other.pid);
  if (!stat) return signalable(other.pid) ? "unknown" : "dead";
  if (stat.startTime !== other.startTime) return "dead";
  return stat.state === "Z" || stat.state === "X" ? "dead" : "alive";
}

/** Holds a value that was read from a file to the shape of an identity. */
export function isProcessIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== "object" || value === null) return false;
  const other = value as Record<string, unknown>;
  const maybe = ["bootId", "pidNamespace", "startTime"].every(
    (key) => other[key] === null || typeof other[key] === "string",
  );
  const { host, pid } = other;
  return maybe && typeof host === "string" && Number.isSafeInteger(pid) && (pid as number) > 0;
}

function signalable(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) === "EPERM";
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
    return null; // not Linux, no such process, or none that we may read now
  }
}

function readLink(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null; // not Linux
  }
}
