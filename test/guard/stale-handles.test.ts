import { fork } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Connection, connect, type Table } from "@lancedb/lancedb";
import { describe, expect, onTestFinished, test } from "vitest";
import { BackupStrategy } from "../../src/index.ts";
import { newDatabase, type TestDatabase } from "../support/database.ts";
import { newestManifest } from "../support/files.ts";
import {
  HANDLE_OPERATION_NAMES,
  HANDLE_OPERATIONS,
  type HandleOperation,
  type HandleOperationName,
  type Texts,
  textsOf,
} from "../support/handle-operations.ts";
import type { HandleRequest } from "../support/handle-process.ts";
import { makeSampleTable, sampleRows } from "../support/sample.ts";
import { snapshotOf } from "../support/snapshot.ts";
import { inTurn } from "../support/thorough.ts";

// A handle is opened, the table goes back, the handle is used. Whatever it does must either fail or be right,
// and the table must open and read in full afterwards: LanceDB by itself makes tables unreadable here.

/** Runs an operation by a handle of its own; throws what the handle throws. */
type Holder = (name: HandleOperationName, n: number) => Promise<void>;
type OpenHandles = (kind: string) => Promise<void>;

/** A way in which a table goes back; `open` opens further handles on what is there at that moment. */
interface WayBack {
  readonly name: string;
  readonly run: (place: TestDatabase, strategy: BackupStrategy, open: OpenHandles) => Promise<unknown>;
}

const FAR_AHEAD = { cleanupOlderThan: new Date(Date.now() + 60_000), deleteUnverified: true };

function afterGuardedWork(
  name: string,
  work: (db: Connection, open: OpenHandles) => Promise<unknown>,
): WayBack {
  return {
    name: `guarded work that fails: ${name}`,
    run: async ({ manager }, strategy, open) => {
      const outcome = manager.withBackup(strategy, async (db) => {
        await work(db, open);
        throw new Error("on purpose");
      });
      await expect(outcome).rejects.toThrow("on purpose");
    },
  };
}

function afterDisaster(
  name: string,
  strike: (place: TestDatabase, open: OpenHandles) => Promise<unknown>,
): WayBack {
  return {
    name: `restored from a backup: ${name}`,
    run: async (place, strategy, open) => {
      const id = await place.manager.createBackup(strategy);
      await strike(place, open);
      await place.manager.restoreBackup(id);
    },
  };
}

async function commits(db: Connection, count: number): Promise<void> {
  const table = await db.openTable("main");
  for (let n = 0; n < count; n++) await table.add(sampleRows(500 + n, 1));
  await table.delete("id < 4");
}

const WAYS_BACK: readonly WayBack[] = [
  afterGuardedWork("writes", async (db, open) => {
    await commits(db, 3);
    await open("during");
    await commits(db, 2);
  }),
  afterGuardedWork("a cleanup", async (db, open) => {
    await commits(db, 3);
    await (await db.openTable("main")).optimize(FAR_AHEAD);
    await open("during");
  }),
  afterGuardedWork("an overwrite", async (db, open) => {
    await db.createTable("main", sampleRows(800, 3), { mode: "overwrite" });
    await open("during");
  }),
  afterGuardedWork("a drop", async (db, open) => {
    await commits(db, 3);
    await open("during");
    await db.dropTable("main");
  }),
  afterGuardedWork("a drop, and made again", async (db, open) => {
    await db.dropTable("main");
    await db.createTable("main", sampleRows(800, 3));
    await open("during");
  }),
  afterGuardedWork("a drop, and made again with many versions", async (db, open) => {
    await commits(db, 4);
    await open("during");
    await db.dropTable("main");
    await db.createTable("main", sampleRows(800, 3));
    await commits(db, 20);
    await open("made again");
  }),
  afterDisaster("further commits", async ({ db }, open) => {
    await commits(db, 3);
    await open("during");
  }),
  afterDisaster("a cleanup", async ({ db }, open) => {
    await commits(db, 3);
    await (await db.openTable("main")).optimize(FAR_AHEAD);
    await open("during");
  }),
  afterDisaster("commits and a drop", async ({ db }, open) => {
    await commits(db, 5);
    await open("during");
    await db.dropTable("main");
  }),
  afterDisaster("commits, and the directory deleted", async ({ db, uri }, open) => {
    await commits(db, 5);
    await open("during");
    rmSync(join(uri, "main.lance"), { recursive: true });
  }),
  afterDisaster(
    "commits, the directory deleted, and a write by a handle that does not know",
    async (place, open) => {
      await commits(place.db, 5);
      await open("during");
      const stale = await place.db.openTable("main");
      rmSync(join(place.uri, "main.lance"), { recursive: true });
      await stale.add(sampleRows(900, 1)).catch(() => undefined);
    },
  ),
  afterDisaster("dropped, and made again with fewer versions", async ({ db }, open) => {
    await commits(db, 5);
    await open("during");
    await db.dropTable("main");
    await db.createTable("main", sampleRows(800, 3));
    await open("made again");
  }),
  afterDisaster("dropped, and made again with more versions", async ({ db }, open) => {
    await db.dropTable("main");
    await db.createTable("main", sampleRows(800, 3));
    await commits(db, 20);
    await open("during");
  }),
  afterDisaster("the newest manifest emptied", async ({ db, uri }, open) => {
    await commits(db, 2);
    await open("during");
    writeFileSync(newestManifest(join(uri, "main.lance")), "");
  }),
];

describe.each(Object.values(BackupStrategy))("%s", (strategy) => {
  test.each(inTurn(WAYS_BACK, strategy))("$name", async (way) => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main", { rows: 100, indices: true });
    const inOtherProcess = otherProcess(place.uri);
    const holders = new Map<string, Holder>();
    const open = async (kind: string) => {
      holders.set(kind, await holderOn(place.db));
      holders.set(`${kind}, another process`, await inOtherProcess(kind));
    };
    holders.set("before", await holderOn(place.db));
    holders.set("before, another connection", await holderOn(await connect(place.uri)));
    const fresh = await connect(place.uri, { readConsistencyInterval: 0 });
    holders.set("before, always fresh", await holderOn(fresh));
    holders.set("before, another process", await inOtherProcess("before"));
    const before = await snapshotOf(place.db);

    await way.run(place, strategy, open);
    expect(await snapshotOf(place.db)).toEqual(before);

    let n = 0;
    let worked = 0;
    for (const [index, [kind, run]] of [...holders].entries()) {
      for (const name of rotated(HANDLE_OPERATION_NAMES, index)) {
        n++;
        const expected = await freshTexts(place);
        const error = await run(name, n).then(
          () => undefined,
          (e: unknown) => e,
        );
        const operation: HandleOperation = HANDLE_OPERATIONS[name];
        if (error === undefined) operation.effect?.(expected, n);
        if (error === undefined) worked++;
        const what = `${kind}: ${name} ${error === undefined ? "succeeded" : `failed (${error})`}`;
        expect(await freshTexts(place), what).toEqual(expected);
      }
      await searchesWork(place);
    }
    // Only now: a cleanup takes the versions by which LanceDB tells that a stale handle is in conflict.
    const last = await freshTexts(place);
    await (await place.db.openTable("main")).optimize(FAR_AHEAD);
    expect(await freshTexts(place)).toEqual(last);
    expect(worked).toBeGreaterThan(holders.size);

    // The guard goes on as well.
    await place.manager.withBackup(strategy, async (db) =>
      (await db.openTable("main")).add(sampleRows(77_000, 2)),
    );
    const state = await snapshotOf(place.db);
    const outcome = place.manager.withBackup(strategy, async (db) => {
      await (await db.openTable("main")).delete("true");
      throw new Error("on purpose");
    });
    await expect(outcome).rejects.toThrow("on purpose");
    expect(await snapshotOf(place.db)).toEqual(state);
  });

  test("a handle that the guarded work opened writes no more once the work has ended, and reads on", async () => {
    const place = await newDatabase();
    await makeSampleTable(place.db, "main");
    for (const fails of [true, false]) {
      let kept: Table | undefined;
      const outcome = place.manager.withBackup(strategy, async (db) => {
        kept = await db.openTable("main");
        await kept.add(sampleRows(100, 1));
        if (fails) throw new Error("on purpose");
      });
      await (fails ? expect(outcome).rejects.toThrow("on purpose") : outcome);
      const state = await snapshotOf(place.db);
      for (const name of HANDLE_OPERATION_NAMES) {
        const use = HANDLE_OPERATIONS[name].run(kept as Table, 1);
        if (name === "read") await use;
        else await expect(use, name).rejects.toMatchObject({ code: "VALIDATION" });
      }
      expect(await snapshotOf(place.db)).toEqual(state);
    }
  });
});

async function freshTexts(place: TestDatabase): Promise<Texts> {
  const table = await place.db.openTable("main");
  const texts = await textsOf(table);
  table.close();
  return texts;
}

async function searchesWork({ db }: TestDatabase): Promise<void> {
  const table = await db.openTable("main");
  expect(await table.vectorSearch(new Array<number>(8).fill(0.5)).limit(3).toArray()).toHaveLength(3);
  expect(await table.search("alpha", "fts").limit(3).toArray()).toHaveLength(3);
  table.close();
}

async function holderOn(db: Connection): Promise<Holder> {
  const handles = new Map<string, Table>();
  for (const name of HANDLE_OPERATION_NAMES) handles.set(name, await db.openTable("main"));
  return async (name, n) => {
    await HANDLE_OPERATIONS[name].run(handles.get(name) as Table, n);
  };
}

/** Another program; each call has it open a set of handles on what is there at that moment. */
function otherProcess(uri: string): (kind: string) => Promise<Holder> {
  const child = fork(join(import.meta.dirname, "../support/handle-process.ts"), [uri], {
    env: { ...process.env, LANCEDB_LOG: "error" },
    execArgv: [],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const ask = async (request: HandleRequest) => {
    child.send(request);
    const [answer] = (await once(child, "message")) as [{ ok: boolean; error?: string }];
    if (!answer.ok) throw new Error(answer.error);
  };
  return async (kind) => {
    await ask({ open: kind });
    return (name, n) => ask({ use: kind, name, n });
  };
}

function rotated<T>(list: readonly T[], by: number): T[] {
  const at = by % list.length;
  return [...list.slice(at), ...list.slice(0, at)];
}
