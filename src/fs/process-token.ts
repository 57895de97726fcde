import {
  isProcessIdentity,
  type Liveness,
  livenessOf,
  type ProcessIdentity,
  thisProcess,
} from "./this-process.ts";

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

function encode({ host, bootId, pidNamespace, pid, startTime }: ProcessIdentity): string {
  return Buffer.from(JSON.stringify([host, bootId, pidNamespace, pid, startTime])).toString("base64url");
}

function decode(token: string): ProcessIdentity | undefined {
  try {
    const parts: unknown = JSON.parse(Buffer.from(token, "base64url").toString());
    if (!Array.isArray(parts)) return undefined;
    const [host, bootId, pidNamespace, pid, startTime] = parts as unknown[];
    const process = { host, bootId, pidNamespace, pid, startTime };
    return isProcessIdentity(process) ? process : undefined;
  } catch {
    return undefined; // not one of ours
  }
}
