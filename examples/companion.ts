// Ids in SQLite and vectors in LanceDB that fit, whatever happens: node examples/companion.ts [rounds]
//
// An application keeps the text of its documents in SQLite and their vectors in LanceDB. It is killed at random, again and again.
// Each time one snapshot of both is taken while it runs and one after its death, both are restored, and ids and
// vectors compared. The program exits non-zero if they do not fit, or if something is missing that it had answered for.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

// Warnings would interrupt the story: LanceDB's own, and node:sqlite's in some versions of Node, which is loaded below.
process.env["LANCEDB_LOG"] ??= "error";
const { connect } = await import("@lancedb/lancedb");
const { Field, FixedSizeList, Float32, Schema, Utf8 } = await import("apache-arrow");
const { BackupManager, Repository } = await import("lancedb-backup");
const { DatabaseSync } = await import("node:sqlite");

const nothing = () => undefined;
const QUIET = { debug: nothing, info: nothing, warn: nothing, error: nothing };

type Connection = Awaited<ReturnType<typeof connect>>;

const DIMENSIONS = 8;
const SCHEMA = new Schema([
  new Field("id", new Utf8(), false),
  new Field("vector", new FixedSizeList(DIMENSIONS, new Field("item", new Float32(), true)), true),
]);

interface Row {
  readonly id: string;
  readonly state: "adding" | "kept" | "removing";
}

/**
 * The application's documents. LanceDB's half of a write goes back by the guard; SQLite cannot take part in that, and so says in
 * each row what is under way, before LanceDB is written to. Whoever comes after a failure or a death sees which vectors
 * are there, and settles the rows by that: the compensation.
 */
class Documents {
  readonly #rows: InstanceType<typeof DatabaseSync>;
  readonly #guard: InstanceType<typeof BackupManager>;

  private constructor(root: string) {
    this.#rows = new DatabaseSync(sqliteOf(root), { timeout: 10_000 });
    this.#rows.exec(
      "PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS documents (id TEXT PRIMARY KEY, text TEXT, state TEXT NOT NULL)",
    );
    this.#guard = new BackupManager({ uri: vectorsOf(root), backupDir: join(root, "guard"), logger: QUIET });
  }

  static async open(root: string): Promise<Documents> {
    mkdirSync(root, { recursive: true });
    const documents = new Documents(root);
    await documents.#guard.withBackup("lance-version", async (db) => {
      if (!(await db.tableNames()).includes("vectors")) await db.createEmptyTable("vectors", SCHEMA);
    });
    await documents.settle();
    return documents;
  }

  async add(texts: ReadonlyMap<string, string>): Promise<void> {
    const insert = this.#rows.prepare("INSERT INTO documents VALUES (?, ?, 'adding')");
    const vectors = Array.from(texts, ([id, text]) => ({ id, vector: embed(text) }));
    await this.#write(async (db) => {
      this.#together(() => texts.forEach((text, id) => void insert.run(id, text)));
      await (await db.openTable("vectors")).add(vectors);
    });
  }

  async remove(ids: readonly string[]): Promise<void> {
    const mark = this.#rows.prepare("UPDATE documents SET state = 'removing' WHERE id = ?");
    await this.#write(async (db) => {
      this.#together(() => ids.forEach((id) => void mark.run(id)));
      await (await db.openTable("vectors")).delete(`id IN (${ids.map((id) => `'${id}'`).join(", ")})`);
    });
  }

  /**
   * Brings the rows to what LanceDB holds. Inside guarded work: a dead process's half has gone back before it begins, and nobody
   * else is in the middle of a write.
   */
  settle(): Promise<void> {
    return this.#guard.withBackup("lance-version", (db) => this.#settle(db), { tables: ["vectors"] });
  }

  async #write(work: (db: Connection) => Promise<void>): Promise<void> {
    try {
      await this.#guard.withBackup("lance-version", work, { tables: ["vectors"] });
    } finally {
      await this.settle(); // also where it failed: that is when it counts
    }
  }

  async #settle(db: Connection): Promise<void> {
    const open = this.#rows.prepare("SELECT id FROM documents WHERE state <> 'kept'").all();
    if (open.length === 0) return;
    const there = await vectorIds(db);
    const [keep, forget] = [
      this.#rows.prepare("UPDATE documents SET state = 'kept' WHERE id = ?"),
      this.#rows.prepare("DELETE FROM documents WHERE id = ?"),
    ];
    this.#together(() => {
      for (const { id } of open) (there.has(String(id)) ? keep : forget).run(String(id));
    });
  }

  #together(work: () => void): void {
    this.#rows.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#rows.exec("COMMIT");
    } catch (error) {
      this.#rows.exec("ROLLBACK");
      throw error;
    }
  }

  close(): void {
    this.#rows.close();
  }
}

const [first = "3", root = ""] = process.argv.slice(2);
if (first === "--application") await application(root);
else process.exitCode = (await story(Number(first))) ? 0 : 1;

/** Adds and removes for ever, and says what is done. */
async function application(place: string): Promise<void> {
  const documents = await Documents.open(place);
  const mine: string[] = [];
  for (let count = 0; ; count++) {
    const texts = new Map(
      [1, 2, 3].map((part) => [`${process.pid}-${count}-${part}`, `document ${count}, part ${part}`]),
    );
    await documents.add(texts);
    mine.push(...texts.keys());
    console.log(`+ ${[...texts.keys()].join(" ")}`);
    if (count % 3 < 2) continue;
    const gone = mine.splice(0, 2);
    console.log(`? ${gone.join(" ")}`);
    await documents.remove(gone);
    console.log(`- ${gone.join(" ")}`);
  }
}

async function story(rounds: number): Promise<boolean> {
  const place = mkdtempSync(join(tmpdir(), "lancedb-companion-"));
  let child: ChildProcess | undefined;
  try {
    const repository = await Repository.init(join(place, "backups"), { logger: QUIET });
    const live = join(place, "live");
    const sources = [vectorsOf(live), `sqlite:${sqliteOf(live)}`];
    const answered = new Set<string>();
    for (let round = 1; round <= rounds; round++) {
      child = spawn(process.execPath, [import.meta.filename, "--application", live], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const listening = listen(child, answered);
      await once(child, "answered");
      await repository.backup({ sources, name: "running", lockTimeoutMs: 120_000 });
      await sleep(Math.random() * 400);
      child.kill("SIGKILL");
      await listening;
      const survivor = await Documents.open(live);
      survivor.close();
      await repository.backup({ sources, name: "settled" });
      for (const name of ["running", "settled"]) {
        const restored = join(place, `${name}-${round}`);
        mkdirSync(restored);
        const targets = [
          { part: "lancedb", target: vectorsOf(restored) },
          { part: "sqlite", target: sqliteOf(restored) },
        ];
        await repository.restore(name, { targets });
        const { rows, vectors, fits } = await compare(restored);
        console.log(
          `Round ${round}, ${name}: ${rows.length} rows, ${vectors.size} vectors. ${fits ? "They fit." : "THEY DO NOT FIT."}`,
        );
        if (!fits) return false;
        if (name === "running") continue;
        const ids = new Set(rows.map(({ id }) => id));
        const lost = [...answered].filter((id) => !ids.has(id));
        if (lost.length === 0 && rows.every(({ state }) => state === "kept")) continue;
        console.log(`LOST: ${lost.join(" ")}`);
        return false;
      }
    }
    return true;
  } finally {
    if (child?.kill("SIGKILL")) await once(child, "exit"); // or it would write to what is being removed
    rmSync(place, { recursive: true, force: true });
  }
}

/** Until it ends; `answered` has what it has answered for, and tells that there is something. */
async function listen(child: ChildProcess, answered: Set<string>): Promise<void> {
  if (!child.stdout) return;
  for await (const line of createInterface({ input: child.stdout })) {
    const [what, ...ids] = line.split(" ");
    for (const id of ids) {
      if (what === "+") answered.add(id);
      else answered.delete(id); // from the moment at which it may be gone
    }
    child.emit("answered");
  }
}

/** A row whose vector is there is kept or being added; one whose is not, is being removed. */
async function compare(place: string) {
  const database = new DatabaseSync(sqliteOf(place));
  const rows = database.prepare("SELECT id, state FROM documents").all() as unknown as Row[];
  database.close();
  const db = await connect(vectorsOf(place));
  const vectors = await vectorIds(db);
  db.close();
  const expected = rows.filter(({ state }) => state !== "removing");
  const fits = expected.length === vectors.size && expected.every(({ id }) => vectors.has(id));
  return { rows, vectors, fits };
}

async function vectorIds(db: Connection): Promise<Set<string>> {
  const found = await (await db.openTable("vectors")).query().select(["id"]).toArray();
  return new Set(found.map(({ id }) => String(id)));
}

/** In place of a model. */
function embed(text: string): number[] {
  return Array.from({ length: DIMENSIONS }, (_, index) => text.charCodeAt(index % text.length) / 128);
}

function vectorsOf(place: string): string {
  return join(place, "lancedb");
}

function sqliteOf(place: string): string {
  return join(place, "documents.db");
}
