// What a second backup of a SQLite database costs, by the size of pieces: node bench/sqlite/pieces.ts [rows]
import { createHash } from "node:crypto";
import { createReadStream, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";
import { cutContent } from "../../src/engine/cut-content.ts";

const rows = Number(process.argv[2] ?? 400_000);
const ALL_PAGES = 2 ** 31 - 1;

const directory = mkdtempSync(join(tmpdir(), "lancedb-backup-bench-"));
try {
  const versions = await makeVersions(directory);
  const size = statSync(versions[0] ?? "").size;
  console.log(`${rows} rows, ${(size / 1e6).toFixed(0)} MB; new bytes in percent`);
  console.log("pieces   number  changed  appended  100 random  unchanged  MB a CPU second");
  for (const kib of [4, 8, 16, 32, 64, 128, 256, 512, 1024]) {
    const started = process.cpuUsage();
    const sets: Map<string, number>[] = [];
    for (const version of versions) sets.push(await piecesOf(version, kib * 1024));
    const { user, system } = process.cpuUsage(started);
    const news = sets.slice(1).map((set, index) => newBytes(set, sets[index]) / size);
    const figures = news.map((part) => (part * 100).toFixed(2).padStart(9));
    const speed = ((versions.length * size) / (user + system)).toFixed(0);
    console.log(
      `${String(kib).padStart(4)} KiB ${String(sets[0]?.size).padStart(7)} ${figures.join(" ")} ${speed.padStart(9)}`,
    );
  }
} finally {
  rmSync(directory, { recursive: true });
}

/** The database, with 1 % changed in one place, then 1 % appended, then 100 rows changed at random, then as it was. */
async function makeVersions(place: string): Promise<string[]> {
  const database = new DatabaseSync(join(place, "live.db"));
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
    CREATE TABLE items (id INTEGER PRIMARY KEY, at INTEGER, payload BLOB); CREATE INDEX by_at ON items (at)`);
  const add = (from: number, to: number) =>
    database.exec(`INSERT INTO items WITH RECURSIVE ids (id) AS (SELECT ${from} UNION ALL SELECT id + 1 FROM ids WHERE id < ${to})
      SELECT id, 1700000000 + id * 3, randomblob(380) FROM ids`);
  const change = (where: string) =>
    database.exec(`UPDATE items SET payload = randomblob(380) WHERE ${where}`);
  const versions: string[] = [];
  const copy = async () => {
    const to = join(place, String(versions.length));
    await backup(database, to, { rate: ALL_PAGES });
    versions.push(to);
  };
  add(1, rows);
  await copy();
  change(`id BETWEEN ${rows / 2} AND ${rows / 2 + rows / 100 - 1}`);
  await copy();
  add(rows + 1, rows + rows / 100);
  await copy();
  change(`id IN (SELECT abs(random()) % ${rows} FROM items LIMIT 100)`);
  await copy();
  await copy();
  database.close();
  return versions;
}

async function piecesOf(file: string, normal: number): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  const content = createReadStream(file, { highWaterMark: 1 << 20 });
  for await (const piece of cutContent(content, { normal, min: normal / 2, max: normal * 8 })) {
    found.set(createHash("sha256").update(piece).digest("hex"), piece.length);
  }
  return found;
}

function newBytes(
  pieces: ReadonlyMap<string, number>,
  before: ReadonlyMap<string, number> = new Map(),
): number {
  return [...pieces].reduce((sum, [name, bytes]) => sum + (before.has(name) ? 0 : bytes), 0);
}
