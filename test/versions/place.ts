// For the tests that run against older LanceDB: what a database shows, and what can be done to it. `@lancedb/lancedb` and
// `lancedb-backup` are those of the project that this file was copied into.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Connection, connect, Index, type Table } from "@lancedb/lancedb";

export interface Place extends Disposable {
  readonly directory: string;
  readonly uri: string;
}

export function newPlace(): Place {
  const directory = mkdtempSync(join(tmpdir(), "lancedb-backup-versions-"));
  return {
    directory,
    uri: join(directory, "db"),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

export const rows = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, at) => ({
    id: from + at,
    text: `word${from + at} of many`,
    vector: [from + at, 1, 0, 0],
  }));

/** The tables `main`, of several versions, with an index and a tag, and `other`. */
export async function arrange(uri: string): Promise<void> {
  const db = await connect(uri);
  const main = await db.createTable("main", rows(0, 40));
  await main.add(rows(40, 60));
  await main.delete("id % 7 = 3");
  await main.createIndex("id", { config: Index.btree() });
  await main.update({ where: "id = 5", values: { text: "five" } });
  await (await main.tags()).create("kept", 2);
  await db.createTable("other", rows(0, 5));
  db.close();
}

/** What every table shows: rows, columns, indices and tags. */
export async function stateOf(db: Connection): Promise<Record<string, unknown>> {
  const state: Record<string, unknown> = {};
  const names = (await db.tableNames()).filter((name) => name !== "__manifest");
  for (const name of names.sort()) {
    const table = await db.openTable(name);
    state[name] = await stateOfTable(table);
    table.close();
  }
  return state;
}

async function stateOfTable(table: Table): Promise<unknown> {
  const found = await table.query().toArray();
  const plain = found.map((row) =>
    JSON.stringify(row, (_, value) => (typeof value === "bigint" ? `${value}n` : value)),
  );
  const { fields } = await table.schema();
  const indices = (await table.listIndices()).map(({ name, indexType, columns }) => ({
    name,
    indexType,
    columns,
  }));
  const tags = Object.entries(await (await table.tags()).list()).map(([name, { version }]) => [
    name,
    version,
  ]);
  return {
    rows: plain.sort(),
    columns: fields.map(({ name, type, nullable }) => [name, String(type), nullable]),
    indices: indices.sort((a, b) => (a.name < b.name ? -1 : 1)),
    tags: tags.sort(),
  };
}

export async function stateAt(uri: string): Promise<Record<string, unknown>> {
  const db = await connect(uri);
  try {
    return await stateOf(db);
  } finally {
    db.close();
  }
}

/** Runs a program of this directory until it says that it is ready, and kills it. */
export async function killWhenReady(program: string, args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [join(import.meta.dirname, program), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  let said = "";
  for await (const chunk of child.stdout) {
    said += String(chunk);
    if (said.includes("ready")) break;
  }
  if (!said.includes("ready")) throw new Error(`${program} ended before it was ready`);
  child.kill("SIGKILL");
  await ended;
}
