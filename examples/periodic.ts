// Periodic backups of an application that dies: node examples/periodic.ts
//
// A process moves money between accounts and is killed in the middle of it. A manager inside it has followed the
// database with a full and deltas: the database is made again as it was at a moment in between, and as it was at the
// last backup. Money is neither made nor lost at any of them; the program exits non-zero if it is.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

// LanceDB's own warnings would interrupt the story; this must be set before it is loaded.
process.env["LANCEDB_LOG"] ??= "error";
const { connect } = await import("@lancedb/lancedb");
const { BackupManager, insertRecordsWithBackup, PeriodicBackupManager, restoreLatest } = await import(
  "lancedb-backup"
);

const ACCOUNTS = 100;
const MONEY = 1000;
const FILES = 9;

if (process.argv[2] === "--application") await application(process.argv[3] ?? "");
else process.exitCode = (await story()) ? 0 : 1;

/** Moves money for ever. Each transfer is one commit, so each version of the table holds all the money. */
async function application(root: string): Promise<void> {
  const uri = join(root, "bank");
  const guard = new BackupManager({ uri, backupDir: join(root, "guard") });
  const accounts = Array.from({ length: ACCOUNTS }, (_, id) => ({ id, money: MONEY, transfers: 0 }));
  const strategy = "lance-version";
  await insertRecordsWithBackup(accounts, { table: "accounts", strategy, manager: guard });
  const manager = new PeriodicBackupManager({
    uri,
    backupDir: join(root, "backups"),
    incremental: true,
    backupInterval: 10,
    minBackupInterval: 0.2,
    maxDeltasBeforeFull: 6,
  });
  manager.start();
  manager.attach(guard);
  for (let round = 0; ; round++) {
    const from = accounts[(round * 7) % ACCOUNTS];
    const to = accounts[(round * 11 + 1) % ACCOUNTS];
    if (!from || !to || from === to) continue;
    for (const [account, amount] of [[from, -10] as const, [to, 10] as const]) {
      account.money += amount;
      account.transfers++;
    }
    await insertRecordsWithBackup([from, to], { table: "accounts", mergeOn: "id", strategy, manager: guard });
    await sleep(5);
  }
}

async function story(): Promise<boolean> {
  const root = mkdtempSync(join(tmpdir(), "lancedb-periodic-"));
  const [uri, backups] = [join(root, "bank"), join(root, "backups")];
  try {
    console.log("An application moves money between accounts, and a manager follows it.");
    await runAndKill(root, backups);
    const files = readdirSync(backups)
      .filter((name) => name.startsWith("lancedb_"))
      .sort(byTime);
    console.log(`It was killed. ${files.length} files were whole by then:`);
    for (const name of files) console.log(`  ${name}`);
    const moment = timeOf(files[files.length >> 1] ?? "");
    const between = await restoreLatest(backups, join(root, "between"), { at: moment });
    const latest = await restoreLatest(backups, join(root, "latest"));
    const alive = new PeriodicBackupManager({ uri, backupDir: backups, incremental: true });
    await alive.backupNow();
    await restoreLatest(backups, join(root, "after"));
    const looks = [
      ["at a moment in between", await lookAt(join(root, "between"))],
      ["at the last backup", await lookAt(join(root, "latest"))],
      ["after one more backup", await lookAt(join(root, "after"))],
      ["the database itself", await lookAt(uri)],
    ] as const;
    console.log(`Restored ${between.at.toISOString()} from ${1 + between.deltas.length} files:`);
    for (const [what, { rows, money, transfers }] of looks) {
      console.log(`  ${what.padEnd(24)} ${rows} accounts, ${money} in all, after ${transfers} transfers`);
    }
    const [first = 0, second = 0, third = 0, live = 0] = looks.map(([, look]) => look.transfers);
    const whole = looks.every(([, { rows, money }]) => rows === ACCOUNTS && money === ACCOUNTS * MONEY);
    const inOrder = first < second && second <= third && third === live && latest.at > between.at;
    console.log(
      whole && inOrder ? "All the money is there at each of them." : "MONEY IS MISSING, or time went back.",
    );
    return whole && inOrder && files.length > 2;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** Runs the application until it has some files behind it, and kills it wherever it is then. */
async function runAndKill(root: string, backups: string): Promise<void> {
  const child = spawn(process.execPath, [import.meta.filename, "--application", root], { stdio: "inherit" });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const deadline = Date.now() + 60_000;
  while (child.exitCode === null && Date.now() < deadline && backupFiles(backups).length < FILES)
    await sleep(50);
  await sleep(70);
  child.kill("SIGKILL");
  await ended;
}

async function lookAt(uri: string): Promise<{ rows: number; money: number; transfers: number }> {
  const db = await connect(uri);
  const rows: { money: number; transfers: number }[] = await (await db.openTable("accounts"))
    .query()
    .toArray();
  db.close();
  const sum = (key: "money" | "transfers") => rows.reduce((total, row) => total + Number(row[key]), 0);
  return { rows: rows.length, money: sum("money"), transfers: sum("transfers") };
}

/** The names of the files, oldest first. */
function backupFiles(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => name.startsWith("lancedb_"))
    .sort(byTime);
}

function byTime(a: string, b: string): number {
  return timeOf(a).getTime() - timeOf(b).getTime();
}

/** A file's name holds its time. */
function timeOf(name: string): Date {
  const [, seconds, micros] = /_(\d+)_(\d+)\./.exec(name) ?? [];
  return new Date(Number(seconds) * 1000 + Math.floor(Number(micros) / 1000));
}
