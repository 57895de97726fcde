import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { leftovers, newDatabase } from "../support/database.ts";
import type { LogEntry, WriterTask } from "./writer.ts";

const TABLES = ["alpha", "beta", "gamma"];
const WRITERS = 8;
const nightly = process.env["NIGHTLY"] === "1";
const MILLISECONDS = nightly ? 60_000 : 8_000;
const SEED = 20_261_121;

/** Rows that a writer deleted, added for good, or may have left behind, by table. */
interface Account {
  readonly there: Set<number>;
  readonly gone: Set<number>;
  readonly open: Set<number>;
}

function account(entries: readonly LogEntry[], table: string): Account {
  const result: Account = { there: new Set(), gone: new Set(), open: new Set() };
  for (const entry of entries) {
    if (entry.table !== table) continue;
    for (const id of entry.rows) {
      if (entry.step === "added") result.there.add(id);
      if (entry.step === "rolled-back") result.gone.add(id);
      if (entry.step === "conflict") result.open.add(id);
      if (entry.step === "deleted") {
        result.there.delete(id);
        result.gone.add(id);
      }
    }
  }
  return result;
}

function run(task: WriterTask): Promise<string> {
  const program = join(import.meta.dirname, "writer.ts");
  const child = spawn(process.execPath, [program, JSON.stringify(task)], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, LANCEDB_LOG: "off", RUST_LOG: "off" },
  });
  let stderr = "";
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) =>
      code === 0 ? resolve(stderr) : reject(new Error(`writer ${task.writer}: ${stderr}`)),
    );
  });
}

test(
  `${WRITERS} processes, guarded and plain, on three tables: what was acknowledged is there, what was rolled back is not`,
  async () => {
    console.log(`many writers: seed ${SEED}, ${MILLISECONDS} ms`);
    const place = await newDatabase();
    for (const table of TABLES)
      await place.db.createTable(table, [{ id: -1, writer: -1, text: "the first" }]);
    const tasks = Array.from(
      { length: WRITERS },
      (_, index): WriterTask => ({
        uri: place.uri,
        backupDir: place.backupDir,
        tables: TABLES,
        writer: index + 1,
        guarded: index % 4 !== 3,
        seed: SEED + index,
        milliseconds: MILLISECONDS,
        log: join(place.directory, `writer-${index + 1}.log`),
      }),
    );
    for (const end of await Promise.allSettled(tasks.map(run)))
      if (end.status === "rejected") throw end.reason;
    const entries = tasks.flatMap((task) =>
      readFileSync(task.log, "utf8")
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line) as LogEntry),
    );
    const counts = Object.groupBy(entries, (entry) => entry.step);
    console.log(
      Object.entries(counts)
        .map(([step, list]) => `${step} ${list?.length}`)
        .join(", "),
    );
    expect(counts.added?.length ?? 0).toBeGreaterThan(50);
    expect(counts["rolled-back"]?.length ?? 0).toBeGreaterThan(10);
    for (const table of TABLES) {
      const { there, gone, open } = account(entries, table);
      const handle = await (await connect(place.uri)).openTable(table);
      const rows = await handle.query().select(["id"]).toArray();
      const ids = rows.map((row) => Number(row["id"]));
      const found = new Set(ids);
      expect(ids.length, `${table}: no row twice`).toBe(found.size);
      expect(
        [...there].filter((id) => !found.has(id) && !open.has(id)),
        `${table}: acknowledged and lost`,
      ).toEqual([]);
      expect(
        [...gone].filter((id) => found.has(id) && !open.has(id)),
        `${table}: rolled back and there`,
      ).toEqual([]);
      expect(found.has(-1)).toBe(true);
    }
    await place.manager.recover();
    expect(leftovers(place)).toEqual([]);
  },
  MILLISECONDS * 6 + 60_000,
);
