import {
  isProcessIdentity,
  type Liveness,
  livenessOf,
  type ProcessIdentity,
  thisProcess,
} from "./this-process.ts";

const BOOT_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

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
