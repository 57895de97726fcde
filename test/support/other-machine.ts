import { join } from "node:path";

const PRELOAD = join(import.meta.dirname, "other-machine.mjs");

export interface OtherMachine {
  readonly host?: string;
  /** How far its clock is ahead, milliseconds. */
  readonly aheadMs?: number;
}

/** The environment of a Node process that believes to run on another machine. */
export function onMachine({ host, aheadMs }: OtherMachine): NodeJS.ProcessEnv {
  return {
    NODE_OPTIONS: `--import=${PRELOAD}`,
    ...(host !== undefined && { OTHER_HOST: host }),
    ...(aheadMs !== undefined && { OTHER_CLOCK_MS: String(aheadMs) }),
  };
}
