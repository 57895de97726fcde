// The program that is killed: one guarded operation, or one recovery. What came of it is printed as JSON.
//
//   node program.ts '{"task":"work","scenario":"insert","strategy":"lance-version","uri":…,"backupDir":…}'
import * as published from "lancedb-backup";
import type { BackupStrategy } from "../../src/guard/backup-strategy.ts";
import { perform as carryOut, type ScenarioName, scenarioOf } from "./scenarios.ts";
import { silent } from "./silent.ts";

export interface Task {
  /** `die`: the work, killed at its end, before it is final. */
  readonly task: "work" | "die" | "recover" | "backup" | "restore";
  readonly uri: string;
  readonly backupDir: string;
  readonly scenario: ScenarioName;
  readonly strategy: BackupStrategy;
  /** For `restore`. */
  readonly backup?: string;
}

export interface Outcome {
  readonly ok: boolean;
  readonly backup?: string;
  readonly error?: {
    readonly name: string;
    readonly ours: boolean;
    readonly message: string;
    readonly code?: string | undefined;
    readonly path?: string | undefined;
    readonly cause?: string | undefined;
  };
  readonly recovered?: readonly string[];
}

// The published file, which is loaded in a fifth of the time that the sources take. Its types are theirs.
const calls = published as unknown as typeof import("../../src/index.ts");
const { BackupError, BackupManager } = calls;

const task = JSON.parse(process.argv[2] ?? "{}") as Task;

async function perform(): Promise<Outcome> {
  await using manager = new BackupManager({ uri: task.uri, backupDir: task.backupDir, logger: silent });
  const scenario = scenarioOf(task.scenario);
  switch (task.task) {
    case "work":
      await carryOut(scenario, manager, task.strategy, calls);
      return { ok: true };
    case "die":
      await manager.withBackup(task.strategy, async (db) => {
        await scenario.work?.(db, task.uri);
        process.kill(process.pid, "SIGKILL");
        await new Promise(() => undefined);
      });
      return { ok: true };
    case "recover":
      return { ok: true, recovered: (await manager.recover()).entries.map((entry) => entry.action) };
    case "backup":
      return { ok: true, backup: await manager.createBackup(task.strategy) };
    case "restore":
      await manager.restoreBackup(task.backup ?? "");
      return { ok: true };
  }
}

function describe(error: unknown): NonNullable<Outcome["error"]> {
  if (!(error instanceof Error)) return { name: "", ours: false, message: String(error) };
  const { name, message } = error;
  const code = "code" in error ? String(error.code) : undefined;
  const path = "path" in error && typeof error.path === "string" ? error.path : undefined;
  const cause = error.cause instanceof Error ? error.cause.message : undefined;
  return { name, ours: error instanceof BackupError, message, code, path, cause };
}

const outcome = await perform().catch((error: unknown): Outcome => ({ ok: false, error: describe(error) }));
process.stdout.write(`${JSON.stringify(outcome)}\n`);
