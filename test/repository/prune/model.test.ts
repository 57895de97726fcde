import fc from "fast-check";
import { expect, test } from "vitest";
import { blobName, snapshotName } from "../../../src/engine/format/names.ts";
import type { Lease } from "../../../src/engine/lease/lease.ts";
import { silent } from "../../crash/silent.ts";
import { FaultyStorage } from "../../support/faulty-storage.ts";
import { digestOf, documentOf, makeSnapshot, putBlobs } from "../fixture.ts";
import { acquireLease } from "../lease/leases.ts";
import { HOUR, newQuickPlace, type Place, tableOf } from "./place.ts";

const nightly = process.env["NIGHTLY"] === "1";
const POOL = ["a", "b", "c", "d", "e", "f"];

interface PruneStep {
  readonly do: "prune";
  /** Hours. */
  readonly grace: number;
  readonly keepLast: number | undefined;
  /** The call to the storage that fails; 0: none. */
  readonly breaksAt: number;
}

type Step =
  | { readonly do: "begin"; readonly contents: readonly string[] }
  | { readonly do: "finish" }
  | { readonly do: "give up" }
  | { readonly do: "delete"; readonly pick: number }
  | { readonly do: "pass"; readonly hours: number }
  | PruneStep;

const contents = fc.subarray(POOL, { minLength: 1 });
const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constantFrom("begin", "finish", "finish", "give up"), contents }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("delete" as const), pick: fc.nat() }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("pass" as const), hours: fc.constantFrom(1, 10, 23, 24, 30) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("prune" as const),
      grace: fc.constantFrom(24, 24, 24, 0),
      keepLast: fc.constantFrom(undefined, undefined, 1, 2),
      breaksAt: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 40 })),
    }),
  },
) as fc.Arbitrary<Step>;

/** A repository beside a model of when each blob was last needed. */
class Model {
  readonly #place: Place;
  /** Milliseconds; of blobs that are there. */
  readonly #neededAt = new Map<string, number>();
  #backup: { readonly lease: Lease; readonly contents: readonly string[] } | undefined;

  constructor(place: Place) {
    this.#place = place;
  }

  async step(step: Step): Promise<void> {
    if (step.do === "prune") await this.#prune(step);
    else if (step.do === "begin") await this.#begin(step.contents);
    else if (step.do === "finish") await this.#finish();
    else if (step.do === "give up") await this.#giveUp();
    else if (step.do === "delete") await this.#delete(step.pick);
    else this.#place.clock.sleep(step.hours * HOUR);
    await this.#look(step.do === "prune" ? step.grace * HOUR : Number.POSITIVE_INFINITY);
  }

  /** Steps 1 to 3 of a backup. */
  async #begin(contents: readonly string[]): Promise<void> {
    if (this.#backup) return;
    const lease = await acquireLease(this.#place.storage, "shared", { logger: silent, timeoutMs: 0 });
    await putBlobs(this.#place.storage, ...contents);
    this.#backup = { lease, contents };
  }

  async #finish(): Promise<void> {
    if (!this.#backup) return;
    const { lease, contents } = this.#backup;
    for (const content of contents)
      expect(await this.#place.storage.stat(blobName(digestOf(content)))).toBeDefined();
    const snapshot = makeSnapshot({ at: this.#place.clock.now(), tables: tableOf(...contents) });
    await this.#place.storage.writeNew(snapshotName(snapshot.snapshot.id), documentOf(snapshot));
    await lease.release();
    this.#backup = undefined;
  }

  async #giveUp(): Promise<void> {
    await this.#backup?.lease.release();
    this.#backup = undefined;
  }

  async #delete(pick: number): Promise<void> {
    const ids = await this.#place.catalog.ids();
    const id = ids[pick % Math.max(1, ids.length)];
    if (id !== undefined) await this.#place.catalog.delete(id);
  }

  async #prune({ grace, keepLast, breaksAt }: PruneStep): Promise<void> {
    const faulty = new FaultyStorage(this.#place.storage, ({ number }) =>
      number === breaksAt ? "fail" : undefined,
    );
    const pruning = this.#place.prune({ graceHours: grace, keepLast }, faulty);
    if (breaksAt === 0) await pruning;
    else await pruning.catch(() => undefined);
  }

  /** @param graceMs how long a blob must have been unneeded to have gone just now. */
  async #look(graceMs: number): Promise<void> {
    const now = this.#place.clock.now();
    const named = new Set(await this.#place.assertWhole());
    const there = new Set(await this.#place.blobs());
    for (const content of this.#backup?.contents ?? []) expect(there.has(digestOf(content))).toBe(true);
    for (const [sha256, neededAt] of this.#neededAt) {
      if (there.has(sha256)) continue;
      expect(now - neededAt).toBeGreaterThanOrEqual(graceMs);
      this.#neededAt.delete(sha256);
    }
    for (const sha256 of there)
      if (named.has(sha256) || !this.#neededAt.has(sha256)) this.#neededAt.set(sha256, now);
  }

  /** Nothing goes on for ever: two prunes with the grace period between them leave what is needed, and no more. */
  async end(): Promise<void> {
    await this.#giveUp();
    await this.#place.prune();
    this.#place.clock.sleep(24 * HOUR);
    await this.#place.prune();
    expect(await this.#place.blobs()).toEqual(await this.#place.assertWhole());
  }
}

test("whatever is done in whatever order, no blob goes before its time", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { minLength: 1, maxLength: 25 }), async (list) => {
      const place = await newQuickPlace();
      const model = new Model(place);
      for (const step of list) await model.step(step);
      await model.end();
    }),
    { numRuns: nightly ? 5000 : 150 },
  );
});
