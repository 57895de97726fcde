import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@lancedb/lancedb";
import { expect, onTestFinished, test } from "vitest";
import { BackupManager } from "../../src/guard/backup-manager.ts";
import { recordFigures } from "../crash/figures.ts";
import { leftovers } from "../crash/observe.ts";
import { silent } from "../crash/silent.ts";
import { nightly } from "../crash/workshop.ts";
import { Random } from "./random.ts";
import { type LogLine, type Rows, TABLES, type WriterTask } from "./writer.ts";

const WRITER = join(import.meta.dirname, "writer.ts");
const WRITERS = 8;
const SEED = 20_261_121;
const MS = nightly ? 60_000 : 10_000;
const START_MS = 3_000;

/** What becomes of a row, over all logs. */
interface Fate {
  readonly table: string;
  readonly row: string;
  readonly state: "there" | "gone" | "either";
}

test.for([
  { name: "all live", kills: false, seed: SEED },
  { name: "guarded ones are killed", kills: true, seed: SEED + 1 },
])(
  "eight writers, $name: every acknowledged row is there, none that was rolled back",
  async ({ name, kills, seed }) => {
    const root = await mkdtemp(join(tmpdir(), "lancedb-backup-writers-"));
    onTestFinished(() => rm(root, { recursive: true, force: true }));
    const place = { uri: join(root, "db"), backupDir: join(root, "backups") };
    const db = await connect(place.uri);
    for (const table of TABLES) await db.createTable(table, [{ id: "first" }]);

    const random = new Random(seed);
    const until = Date.now() + START_MS + MS;
    const logs: string[] = [];
    let started = 0;
    let killed = 0;
    const start = (slot: number): ChildProcess => {
      const writer = `w${started++}`;
      const log = join(root, `${writer}.log`);
      logs.push(log);
      const kind = slot < 5 ? "guarded" : "plain";
      const task: WriterTask = {
        name: writer,
        seed: seed + started,
        kind,
        log,
        until,
        upsert: kills,
        ...place,
      };
      return spawn(process.execPath, [WRITER, JSON.stringify(task)], {
        stdio: "inherit",
        env: { ...process.env, LANCEDB_LOG: "off" },
      });
    };
    const running = Array.from({ length: WRITERS }, (_, slot) => start(slot));
    const ends = running.map(ended);
    while (Date.now() < until) {
      await sleep(400 + random.below(800));
      const slot = random.below(5);
      if (!kills || Date.now() > until - 2000) continue;
      running[slot]?.kill("SIGKILL");
      await ends[slot];
      killed++;
      running[slot] = start(slot);
      ends[slot] = ended(running[slot]);
    }
    await Promise.all(ends);

    const manager = new BackupManager({ uri: place.uri, backupDir: place.backupDir, logger: silent });
    await manager.recover({ onConflict: "keep" });
    for (const backup of await manager.listBackups()) await manager.cleanupBackup(backup.id);

    const all = logs.filter((log) => existsSync(log)).flatMap((log) => fatesOf(readLog(log)));
    const found = new Map<string, Map<string, number>>();
    for (const table of TABLES) {
      const handle = await db.openTable(table);
      const counts = new Map<string, number>();
      for (const row of (await handle.query().toArray()) as { id: string }[]) {
        counts.set(row.id, (counts.get(row.id) ?? 0) + 1);
      }
      found.set(table, counts);
    }
    const wrong = all.filter(({ table, row, state }) => {
      const count = found.get(table)?.get(row) ?? 0;
      return count > 1 || (state === "there" && count === 0) || (state === "gone" && count > 0);
    });
    expect(wrong).toEqual([]);
    for (const table of TABLES) expect(found.get(table)?.get("first")).toBe(1);
    expect(leftovers(place.uri, place.backupDir)).toEqual([]);

    const lines = logs.filter((log) => existsSync(log)).flatMap(readLog);
    const count = (state: LogLine["state"]) => lines.filter((line) => line.state === state).length;
    const conflicts = count("unclear");
    recordFigures(
      "Many writers",
      [
        {
          writers: `${WRITERS}, ${name}`,
          seconds: MS / 1000,
          seed,
          works: count("try"),
          acknowledged: count("done"),
          "rolled back": count("undone"),
          "conflict or LanceDB's error": conflicts,
          killed,
          "rows checked": all.filter((fate) => fate.state !== "either").length,
          wrong: wrong.length,
        },
      ],
      name,
    );
    expect(count("done")).toBeGreaterThan(20);
    expect(count("undone")).toBeGreaterThan(3);
  },
);

async function ended(child: ChildProcess): Promise<void> {
  await new Promise((resolve) => child.once("exit", resolve));
}

/** A last line that is cut short is one of a killed writer. */
function readLog(path: string): LogLine[] {
  const lines = readFileSync(path, "utf8").split("\n");
  return lines.slice(0, -1).map((line) => JSON.parse(line) as LogLine);
}

/** One writer's rows: only it adds and deletes them, so its own log tells all. */
function fatesOf(lines: readonly LogLine[]): Fate[] {
  const fates = new Map<string, Fate>();
  const works = new Map<number, { added: Rows; deleted: Rows; end?: LogLine["state"] }>();
  for (const line of lines) {
    if (line.state === "try") {
      works.set(line.work, { added: line.added ?? {}, deleted: line.deleted ?? {} });
    } else {
      const work = works.get(line.work);
      if (work) work.end = line.state;
    }
  }
  const set = (rows: Rows, state: Fate["state"]) => {
    for (const [table, ids] of Object.entries(rows)) {
      for (const row of ids) fates.set(`${table}/${row}`, { table, row, state });
    }
  };
  for (const { added, deleted, end } of works.values()) {
    if (end === "done") {
      set(added, "there");
      set(deleted, "gone");
    } else if (end === "undone") set(added, "gone");
    else {
      set(added, "either");
      set(deleted, "either");
    }
  }
  return [...fates.values()];
}
