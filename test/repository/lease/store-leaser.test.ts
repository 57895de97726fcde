import { beforeEach, describe, expect, test } from "vitest";
import { type LeaseKind, newLeaseName, numberedName } from "../../../src/engine/format/names.ts";
import { encodeLease } from "../../../src/engine/lease/lease-record.ts";
import { LockedError } from "../../../src/errors.ts";
import { silent } from "../../crash/silent.ts";
import { rejection } from "../../support/pieces.ts";
import { TestClock } from "../../support/test-clock.ts";
import { acquireLease, type LeaseOptions, owners } from "./leases.ts";
import { MemoryStore } from "./memory-store.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const TERMS = { renewEveryMs: MINUTE, deadAfterMs: 10 * MINUTE };

let clock: TestClock;
/** How far the store's clock is ahead of ours. */
let ahead: number;
let store: MemoryStore;
beforeEach(() => {
  clock = new TestClock();
  ahead = 0;
  store = new MemoryStore(() => clock.now() + ahead);
});

const acquire = (kind: LeaseKind, options: LeaseOptions = {}) =>
  acquireLease(store, kind, { logger: silent, timeoutMs: 0, clock, ...options });
const names = () => [...store.objects.keys()];
const verbs = () => store.requests.map((request) => request.split(" ", 1)[0]);

/** Leaves a lease of another holder, and answers with its name. */
async function leave(kind: LeaseKind, owner: keyof typeof owners, terms = TERMS): Promise<string> {
  const name = newLeaseName(kind);
  const at = new Date(0); // nobody goes by it
  const record = encodeLease({ kind, owner: owners[owner], since: at, renewedAt: at, ...terms });
  await store.write(numberedName(name, 0), record);
  return name;
}

describe("who gets in", () => {
  test("a shared one that nobody is in the way of costs three requests", async () => {
    const lease = await acquire("shared");
    await lease.assertHeld();
    await lease.release();
    expect(verbs()).toEqual(["PUT", "LIST", "DELETE"]);
    expect(names()).toEqual([]);
    expect(clock.timers).toBe(0);
  });

  test("others' shared ones cost no more", async () => {
    await leave("shared", "unknown");
    store.requests.length = 0;
    await (await acquire("shared")).release();
    expect(verbs()).toEqual(["PUT", "LIST", "DELETE"]);
  });

  test.each([
    ["shared", "exclusive"],
    ["exclusive", "shared"],
    ["exclusive", "exclusive"],
  ] as const)("%s bars %s, which says who holds it and leaves nothing", async (first, second) => {
    const held = await acquire(first);
    const before = names();
    const error = await rejection(acquire(second));
    expect(error).toBeInstanceOf(LockedError);
    expect((error as Error).message).toContain(`process ${process.pid} on`);
    expect((error as Error).message).toContain(held.name);
    expect(names()).toEqual(before);
    await held.release();
    await (await acquire(second)).release();
    expect(names()).toEqual([]);
  });

  test("one whose object nobody lists is not had", async () => {
    store.before = (request) => void (request.startsWith("LIST") && store.objects.clear());
    expect(await rejection(acquire("shared"))).toBeInstanceOf(LockedError);
  });
});

describe("whose lease counts", () => {
  test.each([0, HOUR, -HOUR, 24 * HOUR])(
    "one of another machine for ten minutes by the store's clock, which is %i ms ahead",
    async (ms) => {
      ahead = ms;
      await leave("exclusive", "unknown");
      clock.sleep(9 * MINUTE);
      expect(await rejection(acquire("shared"))).toBeInstanceOf(LockedError);
      clock.sleep(2 * MINUTE);
      await (await acquire("shared")).release();
    },
  );

  test("this machine's clock does not count", async () => {
    await leave("exclusive", "unknown");
    const wrong = new TestClock(clock.now() + 48 * HOUR);
    expect(await rejection(acquire("shared", { clock: wrong }))).toBeInstanceOf(LockedError);
  });

  test("for as long as it says itself, but an hour at most", async () => {
    await leave("exclusive", "unknown", { renewEveryMs: 5 * MINUTE, deadAfterMs: 40 * MINUTE });
    clock.sleep(39 * MINUTE);
    expect(await rejection(acquire("shared"))).toBeInstanceOf(LockedError);
    clock.sleep(2 * MINUTE);
    await (await acquire("shared")).release();
    await leave("exclusive", "unknown", { renewEveryMs: 1, deadAfterMs: 1000 * HOUR });
    clock.sleep(61 * MINUTE);
    await (await acquire("shared")).release();
  });

  test("one of a process that is seen to be dead does not; one of another boot does until it is old", async () => {
    await leave("exclusive", "dead");
    await (await acquire("shared")).release();
    await leave("exclusive", "of another boot");
    expect(await rejection(acquire("shared"))).toBeInstanceOf(LockedError);
    clock.sleep(11 * MINUTE);
    await (await acquire("shared")).release();
  });

  test("one of a process that is seen to live does, however old", async () => {
    await leave("exclusive", "alive");
    clock.sleep(48 * HOUR);
    expect(await rejection(acquire("shared"))).toBeInstanceOf(LockedError);
  });

  test("one that is renewed between listing and reading is not taken for gone", async () => {
    const name = await leave("exclusive", "unknown");
    let isDone = false;
    store.before = (request) => {
      if (isDone || !request.startsWith("GET")) return;
      isDone = true;
      const old = store.objects.get(numberedName(name, 0));
      store.objects.delete(numberedName(name, 0));
      if (old) store.objects.set(numberedName(name, 2), { ...old, modified: new Date(clock.now()) });
    };
    expect(await rejection(acquire("shared"))).toBeInstanceOf(LockedError);
    expect(isDone).toBe(true);
  });
});

describe("holding on", () => {
  test("each minute a new object; the one before goes a minute later", async () => {
    const lease = await acquire("shared");
    for (let minute = 1; minute <= 5; minute++) {
      await clock.pass(MINUTE);
      expect(names()).toEqual([minute - 1, minute].map((number) => numberedName(lease.name, number)));
      await lease.assertHeld();
    }
    clock.sleep(9 * MINUTE);
    await leave("shared", "unknown");
    await lease.release();
    expect(names()).toHaveLength(1);
  });

  test("removed by hand it is lost at the next renewal, and does not come back", async () => {
    const lease = await acquire("shared");
    store.objects.clear();
    await clock.pass(MINUTE);
    expect(((await rejection(lease.assertHeld())) as Error).message).toMatch(/lost: somebody removed it/);
    await clock.pass(5 * MINUTE);
    expect(names()).toEqual([]);
  });

  test("an exclusive one is looked for at each assertHeld", async () => {
    const lease = await acquire("exclusive");
    store.objects.clear();
    expect(await rejection(lease.assertHeld())).toBeInstanceOf(LockedError);
  });

  test.each([
    ["sleeps", 4 * MINUTE],
    ["sleeps for a day", 24 * HOUR],
  ])("it is lost where the machine %s, before others take it for dead", async (_, ms) => {
    const lease = await acquire("exclusive");
    clock.sleep(ms);
    expect(lease.isHeld).toBe(false);
    await clock.pass(5 * MINUTE);
    expect(names()).toHaveLength(1);
    await lease.release();
    expect(names()).toEqual([]);
  });

  test("clock set back: time that nobody sets counts; set forward: it gives itself up", async () => {
    const lease = await acquire("shared");
    store.before = (request) => {
      if (request.startsWith("PUT")) throw new Error("away");
    };
    clock.sleep(-24 * HOUR);
    await clock.pass(2 * MINUTE);
    expect(lease.isHeld).toBe(true);
    await clock.pass(2 * MINUTE);
    expect(lease.isHeld).toBe(false);
    store.before = () => undefined;
    const other = await acquire("shared");
    clock.sleep(HOUR);
    expect(other.isHeld).toBe(false);
    await lease.release();
    await other.release();
  });

  test("a renewal that stands still until others have taken its lease for dead takes itself away again", async () => {
    const lease = await acquire("shared");
    const gate = Promise.withResolvers<void>();
    store.before = (request) => (request.startsWith("PUT") ? gate.promise : undefined);
    await clock.pass(MINUTE);
    clock.sleep(11 * MINUTE);
    store.before = () => undefined;
    store.objects.clear();
    gate.resolve();
    await expect.poll(names).toEqual([]);
    expect(lease.isHeld).toBe(false);
  });

  test("a renewal that was done and not answered leaves nothing", async () => {
    const lease = await acquire("shared");
    const lost = numberedName(lease.name, 1);
    store.before = (request) => {
      if (request !== `PUT ${lost}`) return;
      store.objects.set(lost, { bytes: Buffer.from("{}"), modified: new Date(clock.now()) });
      throw new Error("cut");
    };
    await clock.pass(2 * MINUTE);
    await lease.assertHeld();
    await lease.release();
    expect(names()).toEqual([]);
  });

  test("where the DELETE is refused, nobody in this process is barred, and it is tried again", async () => {
    const lease = await acquire("exclusive");
    let refused = 0;
    store.before = (request) => {
      if (request.startsWith("DELETE") && refused++ === 0) throw new Error("lost");
    };
    await lease.release();
    expect(names()).toHaveLength(1);
    await (await acquire("exclusive")).release();
    await expect.poll(names).toEqual([]);
  });
});
