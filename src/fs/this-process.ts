import { createHash } from "node:crypto";
import { readFileSync, readlinkSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { errnoOf } from "./io.ts";

/** A process on some machine: enough to tell, later and from elsewhere, whether it is still alive. */
export interface ProcessIdentity {
  readonly host: string;
  /**
   * What stays the same when the machine starts again, and is no other machine's; in 12 hexadecimal digits, since the
   * system's own number is not for strangers. Null where there is no such thing; records of before have none.
   */
  readonly machine?: string | null | undefined;
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
  machine: machineOf(hostname()),
  bootId: readText("/proc/sys/kernel/random/boot_id"),
  pidNamespace: readLink("/proc/self/ns/pid"),
  pid: process.pid,
  startTime: processStat(process.pid)?.startTime ?? null,
};

/**
 * Whether a process lives. `unknown` where that cannot be seen from here: another host, another container, or a
 * process of another user that the system hides. An earlier boot of this very machine is dead; one of the same host
 * name alone may be another machine.
 */
export function livenessOf(other: ProcessIdentity): Liveness {
  if (other.host !== thisProcess.host) return "unknown";
  if (other.bootId !== null && other.bootId !== thisProcess.bootId) {
    return isThisMachine(other) ? "dead" : "unknown";
  }
  if (other.pidNamespace !== thisProcess.pidNamespace) return "unknown";
  if (other.pid === process.pid && other.startTime === thisProcess.startTime) return "alive";
  if (other.startTime === null) return signalable(other.pid) ? "alive" : "dead";
  const stat = processStat(other.pid);
  if (!stat) return signalable(other.pid) ? "unknown" : "dead";
  if (stat.startTime !== other.startTime) return "dead";
  return stat.state === "Z" || stat.state === "X" ? "dead" : "alive";
}

/**
 * Whether `livenessOf` has seen what it says. Otherwise it goes by names, and what the process holds may show signs of
 * life: those count (`sign-of-life.ts`).
 */
export function isSeen(other: ProcessIdentity, life: Liveness): boolean {
  return life === "alive" || (life === "dead" && other.bootId === thisProcess.bootId);
}

/** Holds a value that was read from a file to the shape of an identity. */
export function isProcessIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== "object" || value === null) return false;
  const other = value as Record<string, unknown>;
  const maybe = ["machine", "bootId", "pidNamespace", "startTime"].every(
    (key) => other[key] === null || typeof other[key] === "string" || (key === "machine" && !(key in other)),
  );
  const { host, pid } = other;
  return maybe && typeof host === "string" && Number.isSafeInteger(pid) && (pid as number) > 0;
}

function isThisMachine({ machine }: ProcessIdentity): boolean {
  return typeof machine === "string" && machine === thisProcess.machine;
}

/**
 * The number that the system was given when it was installed. Containers mostly have none; the host name that they are
 * given by default is a number of their own, and they do not move. Images that all bring the same number, and clones of
 * a machine, are told apart by host names, and by the signs of life of what they hold.
 */
function machineOf(host: string): string | null {
  for (const path of ["/etc/machine-id", "/var/lib/dbus/machine-id"]) {
    const text = readText(path);
    if (text && /^[0-9a-f]{32}$/.test(text) && !/^0*$/.test(text)) return shortened(`machine ${text}`);
  }
  return /^[0-9a-f]{12}$/.test(host) ? shortened(`container ${host}`) : null;
}

function shortened(text: string): string {
  return createHash("sha256").update(`lancedb-backup ${text}`).digest("hex").slice(0, 12);
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

const BOOT_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** What is not surely a dead one's is left alone for so long. */
const LEFT_MS = 3_600_000;

/**
 * This process in letters that a file name can hold (no dot among them), some 150: what it leaves half-made names
 * it, so that anybody can tell what a dead one left.
 */
export const PROCESS_TOKEN = encode(thisProcess);

/**
 * Whether the process lives that left a file or directory, by the token in its name; `unknown` for what is no token.
 * Where names alone say that it is dead, of an earlier start of this machine or of a clone of it that lives, what was
 * left must also be an hour old: `unknown` up to then.
 */
export function livenessOfToken(token: string, path: string): Liveness {
  const process = decode(token);
  const life = process ? livenessOf(process) : "unknown";
  const isSure = process !== undefined && (life !== "dead" || isSeen(process, life));
  return isSure || ageOf(path) > LEFT_MS ? life : "unknown";
}

/** Whether a dead process left it, by the token; where its life cannot be known, whether it is older than that. */
export function isLeftBehind(token: string, path: string, ageMs: number): boolean {
  const life = livenessOfToken(token, path);
  return life === "dead" || (life === "unknown" && ageOf(path) > ageMs);
}

/** Milliseconds since it was last changed; none for what is gone, or of the future. */
function ageOf(path: string): number {
  const changed = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  return changed === undefined ? 0 : Date.now() - changed;
}

function encode({ host, bootId, pidNamespace, pid, startTime, machine = null }: ProcessIdentity): string {
  // Short: a file's name has an end, and the host's may be 64 letters.
  const boot = bootId !== null && BOOT_ID.test(bootId) ? toShort(bootId) : bootId;
  const parts = [host, boot, pidNamespace, pid, startTime, machine];
  return Buffer.from(JSON.stringify(parts)).toString("base64url");
}

function decode(token: string): ProcessIdentity | undefined {
  try {
    const parts: unknown = JSON.parse(Buffer.from(token, "base64url").toString());
    if (!Array.isArray(parts)) return undefined;
    const [host, boot, pidNamespace, pid, startTime, machine = null] = parts as unknown[];
    const bootId = typeof boot === "string" && boot.length === 22 ? toLong(boot) : boot;
    const process = { host, machine, bootId, pidNamespace, pid, startTime };
    return isProcessIdentity(process) ? process : undefined;
  } catch {
    return undefined; // not one of ours
  }
}

function toShort(uuid: string): string {
  return Buffer.from(uuid.replaceAll("-", ""), "hex").toString("base64url");
}

function toLong(short: string): string {
  const hex = Buffer.from(short, "base64url").toString("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
