import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { onTestFinished } from "vitest";

export interface OtherProcess {
  readonly child: ChildProcess;
  /** Waits for a line that it prints. */
  line(text: string): Promise<void>;
  /** Lets it go on: `await goOn()` in its program returns. */
  goOn(): void;
  /** What it printed, when it has ended. */
  ended(): Promise<string>;
}

/** The packed library: a fifth of the time to load. */
const LIBRARY = join(import.meta.dirname, "../../dist");
const PRELOAD = join(import.meta.dirname, "another-machine.mjs");

/** A machine that is not this one; its host name may be. */
export interface Machine {
  readonly host?: string | undefined;
  readonly boot?: string | undefined;
  /** What `/etc/machine-id` holds. */
  readonly machine?: string | undefined;
  readonly clockAheadMs?: number | undefined;
}

/**
 * Runs a program, whose text may use `BackupManager`, `Repository`, `PeriodicBackupManager`, `silent`, `print`
 * and `goOn`, in a process of its own, which seems to run on another machine if one is given. It is killed when the
 * test ends.
 */
export function startProcess(program: string, machine?: Machine, uid?: number): OtherProcess {
  const text = `
    const { BackupManager, PeriodicBackupManager } = await import(${JSON.stringify(join(LIBRARY, "index.js"))});
    const { Repository } = await import(${JSON.stringify(join(LIBRARY, "repository/index.js"))});
    const { once } = await import("node:events");
    const { setTimeout: sleep } = await import("node:timers/promises");
    const silent = { debug() {}, info() {}, warn() {}, error() {} };
    const print = (text) => process.stdout.write(text + "\\n");
    const goOn = () => once(process.stdin, "data");
    try {
      ${program}
    } catch (error) {
      print("FAILED " + (error.code ?? "") + " " + error.message.replaceAll("\\n", " "));
    }
    process.exit(0);`;
  const { host, boot, machine: id, clockAheadMs } = machine ?? {};
  const env = {
    ...process.env,
    LANCEDB_LOG: "off",
    ...(host !== undefined && { ANOTHER_HOST: host }),
    ...(boot !== undefined && { ANOTHER_BOOT: boot }),
    ...(id !== undefined && { ANOTHER_MACHINE: id }),
    ...(clockAheadMs !== undefined && { CLOCK_AHEAD_MS: String(clockAheadMs) }),
  };
  const preload = machine ? ["--import", PRELOAD] : [];
  const child = spawn(process.execPath, [...preload, "--input-type=module", "-e", text], {
    env,
    stdio: ["pipe", "pipe", "inherit"],
    ...(uid !== undefined && { uid, gid: uid }),
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  child.stdout?.setEncoding("utf8").on("data", (piece: string) => {
    output += piece;
    child.emit("output");
  });
  const closed = once(child, "close");
  return {
    child,
    async line(text) {
      while (!output.includes(text)) {
        if (child.exitCode !== null || child.signalCode !== null || output.includes("FAILED"))
          throw new Error(`The process ended without ${text}: ${output}`);
        await Promise.race([once(child, "output"), closed]);
      }
    },
    goOn: () => void child.stdin?.write("on\n"),
    async ended() {
      await closed;
      return output;
    },
  };
}
