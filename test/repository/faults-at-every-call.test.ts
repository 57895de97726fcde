import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Connection, connect } from "@lancedb/lancedb";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BackupError } from "../../src/errors.ts";
import { Repository } from "../../src/repository/repository.ts";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { silent } from "../crash/silent.ts";
import { nightly, spread } from "../crash/workshop.ts";
import { type Fault, FaultyStorage } from "../support/faulty-storage.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { snapshotOf, type TableSnapshot } from "../support/snapshot.ts";
import { remote } from "./verify-run.ts";
import { OPERATIONS, type Operation, work } from "./work-through-storage.ts";

// A storage that is no local directory, whose call of any number goes wrong: no snapshot is lost, and the next run succeeds.

const SAMPLE = nightly ? Number.POSITIVE_INFINITY : 4;
const KILLS = nightly ? Number.POSITIVE_INFINITY : 2;
const PROGRAM = join(import.meta.dirname, "work-through-storage.ts");

const root = mkdtempSync(join(tmpdir(), "lancedb-backup-faults-"));
const TEMPLATE = join(root, "template");
const uri = join(root, "db");
let count = 0;

type Tables = Record<string, TableSnapshot>;
/** What each snapshot is to hold. */
const contents: Record<string, Tables> = {};

beforeAll(async () => {
  const db = await connect(uri);
  const table = await makeSampleTable(db, "main", { indices: true });
  await makeSampleTable(db, "other", { rows: 10 });
  const repository = await Repository.init(remote(new LocalStorage(TEMPLATE)), {
    logger: silent,
    compression: { algorithm: "none" },
  });
  const take = async (name: string, tags: readonly string[]) => {
    await repository.backup({ source: uri, name, tags });
    contents[name] = await snapshotOf(db);
  };
  await take("first", []);
  await table.add(sampleRows(100, 20));
  await take("second", ["kept"]);
  await table.add(sampleRows(200, 20));
  contents["third"] = await snapshotOf(db);
  db.close();
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

function newPlace() {
  const place = join(root, `place-${count++}`);
  const location = join(place, "repository");
  cpSync(TEMPLATE, location, { recursive: true });
  return { place, location, target: join(place, "target") };
}

type Place = ReturnType<typeof newPlace>;

async function tablesOf(directory: string): Promise<Tables> {
  const db: Connection = await connect(directory);
  try {
    return await snapshotOf(db);
  } finally {
    db.close();
  }
}

/** Everything is there that nobody was to remove, it is what it was, and the same can be done now. */
async function assertSound(operation: Operation, { place, location, target }: Place, isDone: boolean) {
  const through = remote(new LocalStorage(location));
  const repository = await Repository.open(through, { logger: silent });
  const names = (await repository.list()).map(({ name }) => name ?? "");
  expect(names).toContain("second");
  if (operation !== "prune" && operation !== "delete") expect(names).toContain("first");
  if (isDone && operation === "backup") expect(names).toContain("third");
  if (isDone && operation === "delete") expect(names).not.toContain("first");
  // A restore is there whole, or not at all.
  if (isDone && operation === "restore") expect(existsSync(target)).toBe(true);
  if (existsSync(target)) expect(await tablesOf(target)).toEqual(contents["second"]);
  expect((await repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
  const again = { operation, uri, target: join(place, "again") };
  const isGone = operation === "delete" && !names.includes("first");
  if (!isGone) await work(through, again);
  await repository.backup({ source: uri, name: "third" });
  await repository.prune({ keepTags: ["kept"], keepLast: 1, graceHours: 0 });
  expect((await repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
  for (const name of ["second", "third"]) {
    const back = join(place, `back-${name}`);
    await repository.restore(name, { target: back });
    expect(await tablesOf(back)).toEqual(contents[name]);
  }
  rmSync(place, { recursive: true, force: true });
}

async function callsOf(operation: Operation): Promise<number> {
  const { place, location, target } = newPlace();
  const storage = new FaultyStorage(remote(new LocalStorage(location)));
  await work(storage, { operation, uri, target });
  rmSync(place, { recursive: true, force: true });
  return storage.calls.length;
}

describe.each(OPERATIONS)("%s", (operation) => {
  test.each<Fault>(["fail", "lose", "cut"])(
    "with a storage that does `%s` at any one call",
    async (fault) => {
      const calls = await callsOf(operation);
      const problems: string[] = [];
      for (const step of spread(calls - 1, SAMPLE)) {
        const place = newPlace();
        const storage = new FaultyStorage(remote(new LocalStorage(place.location)), ({ number }) =>
          number === step + 1 ? fault : undefined,
        );
        const failure: unknown = await work(storage, { operation, uri, target: place.target }).then(
          () => undefined,
          (error: unknown) => error,
        );
        const { method, name } = storage.calls[step] ?? {};
        try {
          if (failure !== undefined) expect(failure).toBeInstanceOf(BackupError);
          await assertSound(operation, place, failure === undefined);
        } catch (error) {
          problems.push(`call ${step + 1} of ${calls}, ${method} ${name}: ${error} (it said ${failure})`);
        }
      }
      expect(problems).toEqual([]);
    },
  );

  test("killed at any one call", async () => {
    const calls = await callsOf(operation);
    const problems: string[] = [];
    for (const step of spread(calls - 1, KILLS)) {
      const place = newPlace();
      const args = [PROGRAM, operation, place.location, uri, place.target, String(step + 1)];
      const { signal, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
      try {
        expect(signal, stderr).toBe("SIGKILL");
        await assertSound(operation, place, false);
      } catch (error) {
        problems.push(`call ${step + 1} of ${calls}: ${error}`);
      }
    }
    expect(problems).toEqual([]);
  });
});
