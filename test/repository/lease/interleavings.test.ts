import { expect, test } from "vitest";
import type { LeaseKind } from "../../../src/engine/format/names.ts";
import { decodeLease, encodeLease } from "../../../src/engine/lease/lease-record.ts";
import { LockedError } from "../../../src/errors.ts";
import { silent } from "../../crash/silent.ts";
import { TestClock } from "../../support/test-clock.ts";
import { acquireLease, owners } from "./leases.ts";
import { MemoryStore } from "./memory-store.ts";

const nightly = process.env["NIGHTLY"] === "1";
const PAUSE_MS = 11 * 60_000;

/** Nobody is seen by another: all are on machines of their own. */
function asFromElsewhere(bytes: Buffer): Buffer {
  const kind = bytes.includes('"exclusive"') ? "exclusive" : "shared";
  return encodeLease({ ...decodeLease(bytes, { kind }, "here"), owner: owners.unknown });
}

/** One who takes a lease once, and gives it back. Each request waits to be let go on. */
class Actor {
  readonly kind: LeaseKind;
  readonly clock: TestClock;
  readonly #store: MemoryStore;
  #waiting: (() => void) | undefined;
  #isDead = false;
  isDone = false;
  isInside = false;
  #leave: (() => void) | undefined;

  constructor(kind: LeaseKind, shared: Map<string, never>, clock: TestClock) {
    this.kind = kind;
    this.clock = clock;
    this.#store = new MemoryStore(() => clock.now());
    Object.assign(this.#store, { objects: shared });
    this.#store.asRead = asFromElsewhere;
    this.#store.before = () =>
      new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
  }

  async run(): Promise<void> {
    try {
      const lease = await acquireLease(this.#store, this.kind, {
        logger: silent,
        timeoutMs: 0,
        clock: this.clock,
      });
      this.isInside = true;
      await new Promise<void>((resolve) => {
        this.#leave = resolve;
      });
      this.isInside = false;
      await lease.release();
    } catch (error) {
      if (!(error instanceof LockedError)) throw error;
    }
    this.isDone = true;
  }

  get canGoOn(): boolean {
    return !this.#isDead && !this.isDone;
  }

  /** To its next request, or out. */
  step(): void {
    const next = this.#waiting ?? this.#leave;
    this.#waiting = undefined;
    if (next === this.#leave) this.#leave = undefined;
    next?.();
  }

  /** SIGKILL, as others cannot see it: nothing that it asks for is done any more. */
  die(): void {
    this.#isDead = true;
    this.isInside = false;
  }
}

const settle = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));

type Event = number | "die" | "pause";

/**
 * Runs the actors by a schedule: numbers say whose request is next; `die` ends the one that went last, `pause` has time go on for
 * all, longer than a lease lives without a renewal. Answers with who could go on afterwards.
 */
async function play(kinds: readonly LeaseKind[], schedule: readonly Event[]): Promise<number[]> {
  const clock = new TestClock();
  const objects = new Map<string, never>();
  const actors = kinds.map((kind) => new Actor(kind, objects, clock));
  const runs = actors.map((actor) => actor.run());
  await settle();
  let last = 0;
  for (const event of schedule) {
    if (event === "pause") clock.sleep(PAUSE_MS);
    else if (event === "die") actors[last]?.die();
    else {
      last = event;
      actors[event]?.step();
    }
    await settle();
    // Whoever slept through its lease is in no more; a holder asks before it does anything.
    if (event === "pause") for (const actor of actors) if (actor.isInside) actor.die();
    const inside = actors.filter(({ isInside }) => isInside);
    const isAlone = inside.length < 2 || inside.every(({ kind }) => kind === "shared");
    expect(isAlone, `${kinds.join(", ")}: ${schedule.join(" ")}`).toBe(true);
  }
  const left = actors.flatMap((actor, index) => (actor.canGoOn ? [index] : []));
  for (const run of runs) void run.catch(() => undefined);
  return left;
}

/** Every schedule, as deep as it goes, with so many deaths and pauses. */
async function explore(kinds: readonly LeaseKind[], faults: number, depth: number): Promise<number> {
  let played = 0;
  const from = async (schedule: readonly Event[], faultsLeft: number): Promise<void> => {
    const left = await play(kinds, schedule);
    played++;
    if (schedule.length >= depth) return;
    for (const index of left) await from([...schedule, index], faultsLeft);
    const last = schedule.at(-1);
    if (faultsLeft === 0 || typeof last !== "number") return;
    await from([...schedule, "die"], faultsLeft - 1);
    await from([...schedule, "pause"], faultsLeft - 1);
  };
  await from([], faults);
  return played;
}

test.each([
  [["exclusive", "exclusive"], 1],
  [["shared", "exclusive"], 1],
  [["exclusive", "shared"], 1],
] as [LeaseKind[], number][])(
  "in every order of requests of %s, with a death or a pause, nobody is in who must not be",
  async (kinds, faults) => {
    expect(await explore(kinds, faults, nightly ? 12 : 9)).toBeGreaterThan(100);
  },
  600_000,
);

test("two shared ones come in side by side", async () => {
  const clock = new TestClock();
  const objects = new Map<string, never>();
  const actors = [new Actor("shared", objects, clock), new Actor("shared", objects, clock)];
  for (const actor of actors) void actor.run();
  for (let turn = 0; turn < 2; turn++) {
    for (const actor of actors) {
      await settle();
      actor.step();
    }
  }
  await settle();
  expect(actors.map(({ isInside }) => isInside)).toEqual([true, true]);
});
