import { utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, test } from "vitest";
import { type LeaseKind, newLeaseName, runLeaseKind } from "../../../src/engine/format/names.ts";
import { decodeLease } from "../../../src/engine/lease/lease-record.ts";
import { LockedError } from "../../../src/errors.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import { silent } from "../../crash/silent.ts";
import { newDirectory } from "../../support/database.ts";
import { FaultyStorage } from "../../support/faulty-storage.ts";
import { namesBelow, readAll, rejection } from "../../support/pieces.ts";
import { TestClock } from "../../support/test-clock.ts";
import { acquireLease, type LeaseOptions, leave } from "./leases.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let storage: LocalStorage;
let clock: TestClock;
beforeEach(async () => {
  storage = new LocalStorage(await newDirectory());
  clock = new TestClock(Date.now());
});

const acquire = (kind: LeaseKind, options: LeaseOptions = {}) =>
  acquireLease(storage, kind, { logger: silent, timeoutMs: 0, clock, ...options });

/** Sets an object's time back, as the storage tells it. */
function makeOld(name: string, ms: number): void {
  const at = new Date(Date.now() - ms);
  utimesSync(join(storage.directory, name), at, at);
}

describe("who gets in", () => {
  test("shared ones stand side by side", async () => {
    const [a, b] = [await acquire("shared"), await acquire("shared")];
    await a.assertHeld();
    await b.assertHeld();
    expect(await namesBelow(storage)).toEqual([a.name, b.name].sort());
    await a.release();
    await b.release();
    expect(await namesBelow(storage)).toEqual([]);
  });

  test.each([
    ["shared", "exclusive"],
    ["exclusive", "shared"],
    ["exclusive", "exclusive"],
  ] as const)("%s bars %s, which says who holds it and leaves nothing", async (first, second) => {
    const held = await acquire(first);
    const error = await rejection(acquire(second));
    expect(error).toBeInstanceOf(LockedError);
    expect((error as Error).message).toContain(`process ${process.pid} on`);
    expect((error as Error).message).toContain(held.name);
    expect(await namesBelow(storage)).toEqual([held.name]);
    await held.release();
    await (await acquire(second)).release();
  });

  test("an exclusive one waits for shared ones and keeps new ones out meanwhile", async () => {
    const shared = await acquire("shared");
    const order: string[] = [];
    const exclusive = acquire("exclusive", { timeoutMs: 10_000 }).then((lease) => {
      order.push("exclusive");
      return lease;
    });
    await sleep(100);
    const late = acquire("shared", { timeoutMs: 10_000 }).then((lease) => {
      order.push("late");
      return lease;
    });
    await sleep(200);
    expect(order).toEqual([]);
    await shared.release();
    const held = await exclusive;
    await sleep(100);
    expect(order).toEqual(["exclusive"]);
    await held.release();
    await (await late).release();
    expect(order).toEqual(["exclusive", "late"]);
  });

  test("several that want it exclusively at once get it one after another", async () => {
    let inside = 0;
    const turn = async () => {
      await using lease = await acquire("exclusive", { timeoutMs: 30_000 });
      expect(++inside).toBe(1);
      await sleep(5);
      await lease.assertHeld();
      inside--;
    };
    await Promise.all(Array.from({ length: 6 }, turn));
    expect(await namesBelow(storage)).toEqual([]);
  });

  test("a wait ends with the signal's reason, and leaves nothing", async () => {
    const held = await acquire("shared");
    const reason = new Error("enough");
    const waiting = acquire("exclusive", { timeoutMs: 60_000, signal: AbortSignal.timeout(100) });
    expect(((await rejection(waiting)) as Error).name).toBe("TimeoutError");
    const aborted = acquire("exclusive", { signal: AbortSignal.abort(reason) });
    expect(await rejection(aborted)).toBe(reason);
    expect(await namesBelow(storage)).toEqual([held.name]);
    await held.release();
  });
});

describe("whose lease counts", () => {
  test.each(["dead", "of another boot"] as const)("one of a process that is %s does not", async (owner) => {
    await leave(storage, "shared", owner);
    await leave(storage, "exclusive", owner);
    await (await acquire("exclusive")).release();
    await (await acquire("shared")).release();
  });

  test("one of this machine's live processes does, however old", async () => {
    makeOld(await leave(storage, "exclusive", "alive", new Date(Date.now() - 48 * HOUR)), 48 * HOUR);
    expect(await rejection(acquire("shared"))).toBeInstanceOf(LockedError);
  });

  test("one of another machine does for an hour after its last sign of life, by its clock or the storage's", async () => {
    const old = new Date(Date.now() - 2 * HOUR);
    const name = await leave(storage, "exclusive", "unknown", old);
    expect(await rejection(acquire("shared"))).toBeInstanceOf(LockedError); // just written
    makeOld(name, 61 * MINUTE);
    await (await acquire("shared")).release();
    const fresh = await leave(storage, "exclusive", "unknown", new Date(Date.now() - 50 * MINUTE));
    makeOld(fresh, 61 * MINUTE);
    expect(await rejection(acquire("shared"))).toBeInstanceOf(LockedError);
    clock.sleep(11 * MINUTE);
    await (await acquire("shared")).release();
  });

  test.each(["", "{", '{"format":1}', '{"format":2,"sha256":"x","body":{}}'])(
    "one that cannot be read (%j) does for an hour",
    async (text) => {
      const name = newLeaseName("exclusive");
      await storage.write(name, Buffer.from(text));
      const error = await rejection(acquire("shared"));
      expect(error).toBeInstanceOf(LockedError);
      expect((error as Error).message).toContain(name);
      makeOld(name, 61 * MINUTE);
      await (await acquire("shared")).release();
    },
  );

  test("files of other names do not", async () => {
    await storage.write("leases/exclusive-notes.json", Buffer.from("{}"));
    writeFileSync(join(storage.directory, "leases/.exclusive-0.tmp"), "");
    await (await acquire("shared")).release();
  });
});

describe("holding on", () => {
  const renewedAt = async (name: string) =>
    decodeLease(await readAll(storage, name), { kind: "shared" }, name).renewedAt.getTime();

  test("it is renewed at least every 30 seconds", async () => {
    const lease = await acquire("shared");
    for (let turn = 0; turn < 4; turn++) {
      await clock.pass(30_000, 150);
      expect(clock.now() - (await renewedAt(lease.name))).toBeLessThanOrEqual(30_000);
    }
    await lease.assertHeld();
    await lease.release();
    expect(clock.timers).toBe(0);
  });

  test("it is lost when somebody removes it, stays lost, and is not put back", async () => {
    const lease = await acquire("shared");
    await storage.remove(lease.name);
    expect(lease.isHeld).toBe(true);
    const error = await rejection(lease.assertHeld());
    expect(error).toBeInstanceOf(LockedError);
    expect((error as Error).message).toMatch(/lost: somebody removed it/);
    expect(lease.isHeld).toBe(false);
    await clock.pass(MINUTE);
    expect(await namesBelow(storage)).toEqual([]);
    const other = await acquire("shared");
    await storage.remove(other.name);
    await clock.pass(MINUTE);
    expect(other.isHeld).toBe(false);
    expect(await namesBelow(storage)).toEqual([]);
  });

  test("it is lost after half an hour of sleep, though its object is still there", async () => {
    const lease = await acquire("shared");
    clock.sleep(29 * MINUTE);
    await lease.assertHeld();
    clock.sleep(2 * MINUTE);
    expect(lease.isHeld).toBe(false);
    const error = await rejection(lease.assertHeld());
    expect((error as Error).message).toMatch(/was not renewed for 31 minutes/);
    const before = await renewedAt(lease.name);
    await clock.pass(MINUTE);
    expect(await renewedAt(lease.name)).toBe(before);
    await lease.release();
    expect(await namesBelow(storage)).toEqual([]);
  });

  test("one of a policy's run is lost after three minutes, and bars nobody after ten", async () => {
    const kind = runLeaseKind({ policy: "one", sources: [] });
    const lease = await acquire(kind);
    const name = lease.name;
    const { deadAfterMs } = decodeLease(await readAll(storage, name), { kind }, name);
    expect(deadAfterMs).toBe(10 * MINUTE);
    clock.sleep(4 * MINUTE);
    expect(lease.isHeld).toBe(false);
    await lease.release();
  });

  test("it is lost after half an hour also where the wall clock is set back meanwhile", async () => {
    let broken = false;
    const faulty = new FaultyStorage(storage, () => (broken ? "fail" : undefined));
    const lease = await acquireLease(faulty, "shared", { logger: silent, clock });
    broken = true;
    await clock.pass(20 * MINUTE);
    clock.sleep(-24 * HOUR);
    expect(lease.isHeld).toBe(true);
    await clock.pass(11 * MINUTE);
    expect(lease.isHeld).toBe(false);
    broken = false;
    await lease.release();
  });

  test("a storage that cannot be reached for a while is borne", async () => {
    let broken = false;
    const faulty = new FaultyStorage(storage, () => (broken ? "fail" : undefined));
    const lease = await acquireLease(faulty, "shared", { logger: silent, clock });
    broken = true;
    await clock.pass(5 * MINUTE);
    broken = false;
    await clock.pass(30_000, 150);
    expect(clock.now() - (await renewedAt(lease.name))).toBeLessThanOrEqual(30_000);
    await lease.assertHeld();
    await lease.release();
  });

  test("giving it back ends a renewal that hangs, and the lease does not come back", async () => {
    const faulty = new FaultyStorage(storage, ({ method }) => (method === "write" ? "stall" : undefined));
    const lease = await acquireLease(faulty, "shared", { logger: silent, clock });
    await clock.pass(16_000);
    await lease.release();
    expect(await namesBelow(storage)).toEqual([]);
    expect(((await rejection(lease.assertHeld())) as Error).message).toMatch(/released/);
    await lease.release();
  });

  test("one that cannot be removed bars nobody in this process", async () => {
    const warnings: string[] = [];
    const logger = { ...silent, warn: (message: string) => void warnings.push(message) };
    const faulty = new FaultyStorage(storage, ({ method }) => (method === "remove" ? "fail" : undefined));
    const lease = await acquireLease(faulty, "exclusive", { logger, clock });
    await lease.release();
    expect(warnings).toEqual([expect.stringContaining("could not be removed")]);
    expect(await namesBelow(storage)).toEqual([lease.name]);
    await (await acquire("exclusive")).release();
  });

  test.each([1, 2, 3, 4, 5, 6, 7])(
    "where call %i to the storage fails, no lease is held or left",
    async (at) => {
      for (const fault of ["fail", "lose"] as const) {
        const faulty = new FaultyStorage(storage, ({ number }) => (number === at ? fault : undefined));
        await acquireLease(faulty, "exclusive", { logger: silent, clock }).then(
          (lease) => lease.release(),
          () => undefined,
        );
        expect(await namesBelow(storage)).toEqual([]);
        expect(clock.timers).toBe(0);
      }
    },
  );
});
