import type { Connection, Data } from "@lancedb/lancedb";
import type { Table as ArrowTable } from "apache-arrow";
import { BackupStrategy, insertRecordsWithBackup } from "lancedb-backup";
import type { BenchData } from "../data/databases.ts";
import { insertRows } from "../data/rows.ts";
import type { Sizes } from "../data/sizes.ts";
import { type Figure, ratio, time } from "../harness/figure.ts";
import { type Contender, Part, type Sample, takeTurns } from "../harness/measure.ts";
import { settleDisk } from "../harness/sync.ts";
import { Workplace } from "../harness/workplace.ts";

const { DirectoryCopy, LanceVersion } = BackupStrategy;
const TABLE = "documents";
type Limits = Readonly<Record<BackupStrategy, number>>;
const LIMITS: Limits = { [DirectoryCopy]: 1.25, [LanceVersion]: 1.1 };

/** One kind of write, with a number for each, so that it never does the same twice. */
interface Kind {
  readonly name: string;
  /** Before a run, not measured. */
  readonly prepare?: (db: Connection, number: number) => Promise<void>;
  readonly write: (db: Connection, number: number) => Promise<void>;
}

function add(rows: Data): Kind {
  return { name: "add", write: async (db) => void (await (await db.openTable(TABLE)).add(rows)) };
}

/** Rows that are there already, by their key. */
function merge(count: number): Kind {
  const rows = insertRows(count, 2);
  return {
    name: "mergeInsert",
    write: async (db) => {
      const table = await db.openTable(TABLE);
      await table.mergeInsert("id").whenMatchedUpdateAll().whenNotMatchedInsertAll().execute(rows);
    },
  };
}

/** Rows that were added for it. */
function remove(count: number): Kind {
  // Beyond the ids that the table begins with; the seed gives the ids (see insertRows).
  const seedOf = (number: number) => Math.ceil(10_000_000 / count) + number;
  return {
    name: "delete",
    prepare: async (db, number) => {
      await (await db.openTable(TABLE)).add(insertRows(count, seedOf(number)));
    },
    write: async (db, number) => {
      const from = seedOf(number) * count;
      await (await db.openTable(TABLE)).delete(`id >= ${from} AND id < ${from + count}`);
    },
  };
}

function inARow(
  name: string,
  place: Workplace,
  count: number,
  prepare: Kind["prepare"],
  write: (n: number) => Promise<unknown>,
): Contender {
  let number = 0;
  return {
    name,
    before: async () => {
      const db = await place.manager.connection();
      if (prepare) for (let n = 0; n < count; n++) await prepare(db, number + n);
      settleDisk(place.root);
    },
    run: async () => {
      const started = performance.now();
      for (let n = 0; n < count; n++) await write(number++);
      return new Part((performance.now() - started) / count);
    },
  };
}

/** The same plainly and guarded; each contender has a clone of its own, and all grow alike. */
async function compare(
  data: BenchData,
  sizes: Sizes,
  kind: Kind,
  guarded: (place: Workplace, strategy: BackupStrategy, number: number) => Promise<unknown>,
): Promise<[plain: Sample, copied: Sample, pinned: Sample]> {
  await using alone = new Workplace(data.inserts);
  await using copied = new Workplace(data.inserts);
  await using pinned = new Workplace(data.inserts);
  const under = (place: Workplace, strategy: BackupStrategy) =>
    inARow(strategy, place, sizes.writesInARow, kind.prepare, (number) => guarded(place, strategy, number));
  const samples = await takeTurns(
    [
      inARow("plain", alone, sizes.writesInARow, kind.prepare, async (n) =>
        kind.write(await alone.manager.connection(), n),
      ),
      under(copied, DirectoryCopy),
      under(pinned, LanceVersion),
    ],
    Math.max(sizes.runs.long, Math.ceil(sizes.runs.short / 3)),
    { warmUps: 2 },
  );
  return samples as [Sample, Sample, Sample];
}

const most = (limit: number | undefined) =>
  limit === undefined ? undefined : { kind: "most" as const, limit };

async function inWithBackup(
  data: BenchData,
  sizes: Sizes,
  kind: Kind,
  what: string,
  limits?: Limits,
): Promise<Figure[]> {
  const [plain, copied, pinned] = await compare(data, sizes, kind, (place, strategy, number) =>
    place.manager.withBackup(strategy, (db) => kind.write(db, number)),
  );
  const name = `${kind.name} of ${what}`;
  return [
    time(`plain ${name}`, plain),
    ratio(`${name} in withBackup, lance-version / plain`, pinned, plain, most(limits?.[LanceVersion])),
    ratio(`${name} in withBackup, directory-copy / plain`, copied, plain, most(limits?.[DirectoryCopy])),
  ];
}

/** What a user with objects calls. */
async function byHelper(data: BenchData, sizes: Sizes, rows: Record<string, unknown>[]): Promise<Figure[]> {
  const [plain, copied, pinned] = await compare(data, sizes, add(rows), (place, strategy) =>
    insertRecordsWithBackup(rows, { table: TABLE, strategy, manager: place.manager }),
  );
  const name = "insertRecordsWithBackup of objects";
  return [
    ratio(`${name}, lance-version / plain add`, pinned, plain, most(LIMITS[LanceVersion])),
    ratio(`${name}, directory-copy / plain add`, copied, plain, most(LIMITS[DirectoryCopy])),
  ];
}

/** Writes of one, a thousand and ten thousand rows. */
export async function measureWrites(data: BenchData, sizes: Sizes): Promise<Figure[]> {
  const most = sizes.insertRows;
  const figures: Figure[] = [];
  for (const count of [1, most / 10, most]) {
    const what = `${count.toLocaleString("en")} × 128`;
    const limits = count === most ? LIMITS : undefined;
    figures.push(
      ...(await inWithBackup(data, sizes, add(insertRows(count, 99)), `${what}, Arrow`, limits)),
      ...(await inWithBackup(data, sizes, merge(count), what)),
      ...(await inWithBackup(data, sizes, remove(count), what)),
    );
  }
  const objects = asObjects(insertRows(most, 99));
  const what = `${most.toLocaleString("en")} × 128, objects`;
  figures.push(...(await inWithBackup(data, sizes, add(objects), what)));
  figures.push(...(await byHelper(data, sizes, objects)));
  return figures;
}

function asObjects(rows: ArrowTable): Record<string, unknown>[] {
  return rows.toArray().map(({ id, vector }) => ({ id, vector: Array.from(vector as Iterable<number>) }));
}
