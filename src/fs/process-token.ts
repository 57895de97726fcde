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

/** What is not known to be a dead one's is left alone for so long. */
const LEFT_MS = 3_600_000;

/**
 * This process in letters that a file name can hold (no dot among them), some 150: what it leaves half-made names
 * it, so that anybody can tell what a dead one left.
 */
export const PROCESS_TOKEN = encode(thisProcess);

/** Whether the process that a token names lives; `unknown` for what is no token. */
export function livenessOfToken(token: string): Liveness {
  const process = decode(token);
  return process ? livenessOf(process) : "unknown";
}

/**
 * Whether a file or directory whose name holds a token was left by a dead process, and may go. Where that goes by names
 * alone, of an earlier start of this machine or of a clone of it that lives, it must also be an hour old.
 *
 * @param others whether what was left by processes of whom nothing can be known may go when it is as old
 */
export function isLeftover(path: string, token: string, others: "stay" | "go" = "stay"): boolean {
  const process = decode(token);
  const life = process ? livenessOf(process) : "unknown";
  if (life === "alive" || (life === "unknown" && others === "stay")) return false;
  if (process && life === "dead" && isSeen(process, life)) return true;
  const changed = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  return changed !== undefined && Math.abs(Date.now() - changed) > LEFT_MS;
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
