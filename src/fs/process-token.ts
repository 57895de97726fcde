import { statSync } from "node:fs";
import {
  isProcessIdentity,
  isSeen,
  type Liveness,
  livenessOf,
  type ProcessIdentity,
  thisProcess,
} from "./this-process.ts";

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
