import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { newDirectory } from "../support/database.ts";
import { filesBelow } from "../support/files.ts";
import { makeSampleTable } from "../support/sample.ts";
import { runJson } from "./cli.ts";

export interface Place {
  readonly directory: string;
  readonly database: string;
  readonly repo: string;
  /** The environment in which the repository need not be named. */
  readonly env: NodeJS.ProcessEnv;
}

/** A database with two tables and an empty repository, in a directory of their own. */
export async function newPlace(options: { rows?: number } = {}): Promise<Place> {
  const directory = await newDirectory();
  const database = join(directory, "db");
  const repo = join(directory, "vault");
  const db = await connect(database);
  await makeSampleTable(db, "words", options);
  await makeSampleTable(db, "docs", options);
  db.close();
  await runJson(["init", repo]);
  return { directory, database, repo, env: { LANCEDB_BACKUP_REPO: repo } };
}

/** A snapshot of a place's database; answers with its id. */
export async function snapshotOf(place: Place, ...options: string[]): Promise<string> {
  const { id } = await runJson<{ id: string }>(["backup", place.database, ...options], { env: place.env });
  return id;
}

/** Commits a row more to the table `words`. */
export async function addRow({ database }: Place, id = 1000): Promise<void> {
  const db = await connect(database);
  const table = await db.openTable("words");
  await table.add([{ id, text: "new", group: "g", score: 1, vector: new Array(8).fill(0.5) }]);
  db.close();
}

const AT_WORK = join(import.meta.dirname, "at-work.ts");

/** Guarded work on a place's database whose process is killed half-way: nine rows of `words` are deleted. */
export async function dieAtWork(place: Place): Promise<void> {
  const { ended } = atWork("die", place);
  const { signal, stderr } = await ended;
  if (signal !== "SIGKILL") throw new Error(`it was to be killed: ${stderr}`);
}

/** A live process that holds the table `words`, until the function that this answers with is called. */
export async function holdTable(place: Place): Promise<() => Promise<void>> {
  const { child, ended } = atWork("hold", place);
  const failed = ended.then(({ stderr }) => {
    throw new Error(`it was to hold the table: ${stderr}`);
  });
  await Promise.race([once(child.stdout, "data"), failed]);
  return async () => {
    failed.catch(() => undefined);
    child.stdin.end();
    await ended;
  };
}

function atWork(what: "die" | "hold", { database, directory }: Place) {
  const child = spawn(process.execPath, [AT_WORK, what, database, join(directory, "backups")]);
  let stderr = "";
  child.stderr.on("data", (text: Buffer) => {
    stderr += text;
  });
  const ended = once(child, "close").then(([, signal]) => ({ signal: signal as string | null, stderr }));
  return { child, ended };
}

/** How many rows a table has, as LanceDB counts them. */
export async function countRows(database: string, name: string): Promise<number> {
  const db = await connect(database);
  const table = await db.openTable(name);
  const rows = await table.countRows();
  db.close();
  return rows;
}

/** The path of a blob that holds rows, and no manifest: the largest. */
export function largestBlob({ repo }: Place): string {
  const blobs = join(repo, "blobs");
  const paths = filesBelow(blobs).map((path) => join(blobs, path));
  return paths.sort((a, b) => statSync(b).size - statSync(a).size)[0] ?? "";
}

/** Flips a bit in the midst of a file, which may be read-only. */
export function damage(file: string): void {
  const bytes = readFileSync(file);
  const middle = Math.floor(bytes.length / 2);
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
  chmodSync(file, 0o644);
  writeFileSync(file, bytes);
}

const isRoot = process.getuid?.() === 0;
const NOBODY = 65534;

/** Options of a run whose process has no more rights than a file's mode gives: root has all. */
export const STRANGER = isRoot ? { uid: NOBODY } : {};

/** Makes that process the owner of everything in a directory. */
export function giveAway(directory: string): void {
  if (!isRoot) return;
  for (const path of ["", ...readdirSync(directory, { recursive: true, encoding: "utf8" })]) {
    chownSync(join(directory, path), NOBODY, NOBODY);
  }
}
