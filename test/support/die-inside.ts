import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { BackupStrategy } from "../../src/guard/backup-strategy.ts";
import type { GuardedWorkOptions } from "../../src/guard/manager-options.ts";

/** A guarded operation in a process of its own: it runs `work`, a program's text, on `db`, and is killed in it. */
export function dieInside(
  place: { uri: string; backupDir: string },
  work: string,
  options: GuardedWorkOptions = {},
  strategy: BackupStrategy = "lance-version",
): void {
  const { uri, backupDir } = place;
  const program = `
    const { BackupManager } = await import(${JSON.stringify(join(import.meta.dirname, "../../dist/index.js"))});
    const manager = new BackupManager(${JSON.stringify({ uri, backupDir })});
    await manager.withBackup(${JSON.stringify(strategy)}, async (db) => {
      ${work};
      process.kill(process.pid, "SIGKILL");
      await new Promise(() => undefined);
    }, ${JSON.stringify(options)});`;
  const env = { ...process.env, LANCEDB_LOG: "off" };
  const { signal, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    env,
    encoding: "utf8",
  });
  if (signal !== "SIGKILL") throw new Error(`The process did not die as it should: ${stderr}`);
}
