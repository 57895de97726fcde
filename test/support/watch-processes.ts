import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export interface ProcessWatch {
  /** Ends it, and answers with the arguments and environments in which a secret stood. */
  end(): Promise<readonly string[]>;
  /** The programs that were looked at. */
  readonly seen: ReadonlySet<string>;
}

/** Looks at the arguments and the environment of every process of this machine, again and again. */
export function watchProcesses(secrets: readonly string[]): ProcessWatch {
  const found = new Set<string>();
  const seen = new Set<string>();
  let isOn = true;
  const look = () => {
    for (const pid of readdirSync("/proc")) {
      if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
      for (const what of ["cmdline", "environ"]) {
        const text = readText(`/proc/${pid}/${what}`);
        if (what === "cmdline") seen.add(text.split("\0")[0] ?? "");
        if (secrets.some((secret) => text.includes(secret)))
          found.add(`${what}: ${text.replaceAll("\0", " ")}`);
      }
    }
  };
  const looking = (async () => {
    while (isOn) {
      look();
      await sleep(5);
    }
  })();
  return {
    seen,
    async end() {
      isOn = false;
      await looking;
      return [...found];
    },
  };
}

/** Empty where the process has ended, or is another user's. */
function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
