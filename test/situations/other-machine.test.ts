import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { describe, expect, test } from "vitest";
import {
  livenessOf,
  livenessOfToken,
  PROCESS_TOKEN,
  type ProcessIdentity,
  thisProcess,
} from "../../src/fs/this-process.ts";

import { PinStore } from "../../src/periodic/table-pins.ts";
import { Repository } from "../../src/repository/index.ts";
import { silent } from "../crash/silent.ts";
import { newDatabase, newDirectory, type TestDatabase } from "../support/database.ts";
import { dieInside } from "../support/die-inside.ts";
import { type Machine, startProcess } from "../support/other-process.ts";

// Two machines, or containers, with one database or repository between them.

const BOOT = "11111111-2222-4333-8444-555555555555";
const DAYS = 24 * 3600 * 1000;

const NIGHTLY = process.env["NIGHTLY"] === "1";

const ALL_MACHINES: [string, Machine][] = [
  ["of the same host name and another boot", { boot: BOOT, machine: "" }],
  ["that is a clone, with the same host name and number", { boot: BOOT }],
  ["of another name", { host: "another", boot: BOOT, machine: "0123456789abcdef0123456789abcdef" }],
  ["of the same host name, with a clock three days ahead", { boot: BOOT, clockAheadMs: 3 * DAYS }],
  ["of the same host name, with a clock three days behind", { boot: BOOT, clockAheadMs: -3 * DAYS }],
];

/** Each kind of doubt once; all of them at night. */
const MACHINES = NIGHTLY ? ALL_MACHINES : [ALL_MACHINES[0] as never, ALL_MACHINES[3] as never];
const CLONE = ALL_MACHINES[1] as never;

const sources = join(import.meta.dirname, "../../src");
const LEASES = `
  const { acquireLease } = await import(${JSON.stringify(join(import.meta.dirname, "../repository/lease/leases.ts"))});
  const { LocalStorage } = await import(${JSON.stringify(join(sources, "storage/local-storage.ts"))});`;

const rowsIn = async (uri: string) => (await (await connect(uri)).openTable("t")).countRows();

async function withTable(): Promise<TestDatabase> {
  const place = await newDatabase();
  await place.db.createTable("t", [{ id: 1 }]);
  return place;
}

const addOne = ({ uri, backupDir }: TestDatabase, then: string) => `
  const manager = new BackupManager({ uri: ${JSON.stringify(uri)}, backupDir: ${JSON.stringify(backupDir)}, logger: silent, lockTimeoutMs: 200 });
  await manager.withBackup("lance-version", async (db) => {
    await (await db.openTable("t")).add([{ id: 2 }]);
    ${then}
  });
  print("SUCCESS");`;

/** Makes everything that shows signs of life look as if the last one was a minute ago. */
function makeOld(uri: string): void {
  const own = join(uri, ".lancedb-backup");
  const then = new Date(Date.now() - 60_000);
  for (const path of readdirSync(own, { recursive: true }).map(String)) {
    if (statSync(join(own, path)).isFile()) utimesSync(join(own, path), then, then);
  }
}

describe.each(MACHINES)("another machine %s", (_, machine) => {
  test("finds live guarded work in use, and leaves it alone, also by force", async () => {
    const place = await withTable();
    const work = startProcess(addOne(place, `print("added"); await goOn();`));
    await work.line("added");
    const other = startProcess(
      `try { ${addOne(place, "")} } catch (error) { print(error.code + " " + error.message); }
       print(JSON.stringify((await manager_().recover({ force: true })).entries.map(({ action }) => action)));
       function manager_() { return new BackupManager(${JSON.stringify({ uri: place.uri, backupDir: place.backupDir })}); }`,
      machine,
    );
    const told = await other.ended();
    expect(told).toContain("LOCKED Table t is in use by a guarded operation of process");
    expect(told).toContain('["active"]');
    work.goOn();
    expect(await work.ended()).toContain("SUCCESS");
    expect(await rowsIn(place.uri)).toBe(2);
  });
});

test.each(NIGHTLY ? ALL_MACHINES : [CLONE])(
  "a prune on another machine %s waits for a live backup's lease",
  async (_, machine) => {
    const directory = await newDirectory();
    const location = join(directory, "repository");
    const repository = await Repository.init(location, { logger: silent });
    const holder = startProcess(`
    ${LEASES}
    const lease = await acquireLease(new LocalStorage(${JSON.stringify(location)}), "shared", { logger: silent });
    print("held");
    await goOn();
    await lease.assertHeld();
    print("HELD TO THE END");`);
    await holder.line("held");
    const other = startProcess(
      `${LEASES}
     const repository = await Repository.open(${JSON.stringify(location)}, { logger: silent });
     await repository.prune({ keepLast: 1, graceHours: 0, lockTimeoutMs: 100 });
     await acquireLease(new LocalStorage(${JSON.stringify(location)}), "exclusive", { logger: silent, timeoutMs: 100 });
     print("LET IN");`,
      machine,
    );
    expect(await other.ended()).toContain("FAILED LOCKED Could not get the exclusive lease");
    holder.goOn();
    expect(await holder.ended()).toContain("HELD TO THE END");
    await repository.prune({ keepLast: 1 });
  },
);

describe("after the machine has started again", () => {
  const rebooted = (place: TestDatabase, machine: Machine) =>
    startProcess(
      `const manager = new BackupManager(${JSON.stringify({ uri: place.uri, backupDir: place.backupDir })});
       const started = performance.now();
       await manager.withBackup("lance-version", async () => undefined);
       print("after " + (performance.now() - started < 2000 ? "no time" : "a wait"));`,
      machine,
    );

  test("what it cut off goes back by itself, without a wait", async () => {
    const place = await withTable();
    dieInside(place, `await (await db.openTable("t")).add([{ id: 2 }])`);
    makeOld(place.uri);
    expect(await rebooted(place, { boot: BOOT }).ended()).toContain("after no time");
    expect(await rowsIn(place.uri)).toBe(1);
  });

  test("also where that was a moment ago, and where its clock begins anew", async () => {
    const place = await withTable();
    dieInside(place, `await (await db.openTable("t")).add([{ id: 2 }])`);
    expect(await rebooted(place, { boot: BOOT, clockAheadMs: -900 * DAYS }).ended()).toContain("after");
    expect(await rowsIn(place.uri)).toBe(1);
  });

  test("the same in a container, whose name is a number of its own", async () => {
    const container = { host: "0123456789ab", machine: "" };
    const place = await withTable();
    const work = startProcess(addOne(place, `print("added"); await goOn();`), {
      ...container,
      boot: "earlier",
    });
    await work.line("added");
    work.child.kill("SIGKILL");
    await work.ended();
    makeOld(place.uri);
    await rebooted(place, { ...container, boot: BOOT }).ended();
    expect(await rowsIn(place.uri)).toBe(1);
  });

  test("of a machine that may be another one nothing is known: force is the way", async () => {
    const place = await withTable();
    dieInside(place, `await (await db.openTable("t")).add([{ id: 2 }])`);
    makeOld(place.uri);
    const other = startProcess(addOne(place, ""), { boot: BOOT, machine: "" });
    expect(await other.ended()).toMatch(/FAILED LOCKED .*force: true/);
    expect(await rowsIn(place.uri)).toBe(2);
  });
});

describe("records", () => {
  test("from before there were numbers of machines are read as before", () => {
    const { machine, ...old } = thisProcess;
    expect(livenessOf(old)).toBe("alive");
    expect(livenessOf({ ...old, bootId: BOOT })).toBe("unknown");
    expect(livenessOf({ ...thisProcess, bootId: BOOT })).toBe(machine === null ? "unknown" : "dead");
    const { host, bootId, pidNamespace, pid, startTime } = thisProcess;
    const token = (parts: ProcessIdentity[keyof ProcessIdentity][]) =>
      Buffer.from(JSON.stringify(parts)).toString("base64url");
    const here = import.meta.filename;
    expect(livenessOfToken(token([host, bootId, pidNamespace, pid, startTime]), here)).toBe("alive");
    expect(livenessOfToken(token([host, bootId, pidNamespace, pid, "1"]), here)).toBe(
      startTime === null ? "alive" : "dead",
    );
    expect(livenessOfToken(PROCESS_TOKEN, here)).toBe("alive");
  });

  test("what a periodic backup left half-made goes by who made it, not by a number that another process has by now", async () => {
    const { host, bootId, pidNamespace } = thisProcess;
    const dead = Buffer.from(JSON.stringify([host, bootId, pidNamespace, process.pid, "1"])).toString(
      "base64url",
    );
    const directory = await newDirectory();
    const pins = new PinStore(join(directory, "db"), join(directory, "backups"));
    const names = [
      `${dead}.a.partial`,
      `${PROCESS_TOKEN}.b.partial`,
      `${process.pid}-c.partial`,
      "1-d.partial",
    ];
    for (const name of names) mkdirSync(join(pins.directory, name), { recursive: true });
    const old = new Date(Date.now() - 2 * 3_600_000);
    utimesSync(join(pins.directory, names[2] ?? ""), old, old);
    pins.removeUnneeded([]);
    expect(readdirSync(pins.directory).sort()).toEqual([names[1], names[3]].sort());
  });

  test("of an earlier start of the machine are a dead one's when they are an hour old: a clone of it may live", async () => {
    const { host, machine, pidNamespace } = thisProcess;
    if (!machine) return;
    const parts = [host, BOOT, pidNamespace, 1, "1", machine];
    const token = Buffer.from(JSON.stringify(parts)).toString("base64url");
    const path = join(await newDirectory(), token);
    mkdirSync(path);
    expect(livenessOfToken(token, path)).toBe("unknown");
    const old = new Date(Date.now() - 2 * 3_600_000);
    utimesSync(path, old, old);
    expect(livenessOfToken(token, path)).toBe("dead");
  });

  test("do not give the machine's own number away", () => {
    const path = "/etc/machine-id";
    const id = statSync(path, { throwIfNoEntry: false }) && readFileSync(path, "utf8").trim();
    if (!id) return;
    expect(JSON.stringify(thisProcess)).not.toContain(id);
    expect(thisProcess.machine).toMatch(/^[0-9a-f]{12}$/);
  });
});
