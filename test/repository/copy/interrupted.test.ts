import { cpSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { BackupError } from "../../../src/errors.ts";
import { Repository } from "../../../src/repository/repository.ts";
import { LocalStorage } from "../../../src/storage/local-storage.ts";
import { nightly, spread } from "../../crash/workshop.ts";
import { newDirectory } from "../../support/database.ts";
import { type Fault, FaultyStorage } from "../../support/faulty-storage.ts";
import { filesBelow, stampOf } from "../../support/files.ts";
import { silent } from "../sound.ts";
import { remote } from "../verify-run.ts";
import { assertWhole, newSource, newTarget, type Source } from "./places.ts";

/** Interruptions of one copy; at every call in the nightly run. */
const SAMPLE = nightly ? Number.POSITIVE_INFINITY : 10;
const FAULTS: readonly Fault[] = ["fail", "lose"];

/** A repository whose storage fails at one call, of all that are made of it. */
async function failing(location: string, isRemote: boolean, fault?: Fault | (() => void), at = 0) {
  const local = new LocalStorage(location);
  const storage = new FaultyStorage(isRemote ? remote(local) : local, ({ number }) => {
    if (number - from !== at) return undefined;
    return typeof fault === "function" ? void fault() : fault;
  });
  let from = Number.POSITIVE_INFINITY;
  const repository = await Repository.open(storage, { logger: silent });
  from = storage.calls.length;
  return { storage, repository, calls: () => storage.calls.length - from };
}

async function emptyTarget(template: string): Promise<string> {
  const location = join(await newDirectory(), "target");
  cpSync(template, location, { recursive: true });
  return location;
}

test.each([
  ["the same form", false],
  ["another form", true],
])(
  "a copy to %s that fails at any call of the target leaves whole snapshots, and goes on",
  async (_, isRemote) => {
    const source = await newSource({ large: isRemote });
    const { location: template } = await newTarget(isRemote);
    const whole = await failing(await emptyTarget(template), isRemote);
    await source.repository.copy(whole.repository);
    const objects = filesBelow(join(whole.storage.location, "blobs"));
    const untouched = stampOf(join(source.location, "blobs"));
    for (const fault of FAULTS) {
      for (const at of spread(whole.calls(), SAMPLE)) {
        const location = await emptyTarget(template);
        const { repository } = await failing(location, isRemote, fault, at);
        const outcome = await source.repository.copy(repository).catch((error: unknown) => error);
        if (!isReport(outcome)) expect(outcome).toBeInstanceOf(BackupError);
        await goesOn(source, location, isRemote);
        // What is there serves: nothing was written twice under another name.
        expect(filesBelow(join(location, "blobs"))).toEqual(objects);
      }
    }
    expect(stampOf(join(source.location, "blobs"))).toEqual(untouched);
    expect((await source.repository.verify()).filter(({ ok }) => !ok)).toEqual([]);
  },
);

test("a copy that fails at any call of the source, and one that is aborted anywhere", async () => {
  const source = await newSource({ large: false });
  const away = await newTarget(true);
  await source.repository.copy(away.repository);
  const { location: template } = await newTarget(false);
  const whole = await failing(away.location, true);
  const empty = await Repository.open(await emptyTarget(template), { logger: silent });
  await whole.repository.copy(empty);
  for (const [index, at] of spread(whole.calls(), SAMPLE).entries()) {
    const location = await emptyTarget(template);
    const target = await Repository.open(location, { logger: silent });
    if (index % 2 === 0) {
      const { repository } = await failing(away.location, true, FAULTS[(index >> 1) % 2], at);
      const outcome = await repository.copy(target).catch((error: unknown) => error);
      if (!isReport(outcome)) expect(outcome).toBeInstanceOf(BackupError);
    } else {
      const controller = new AbortController();
      const reason = new Error("enough");
      const { repository } = await failing(away.location, true, () => controller.abort(reason), at);
      const copying = repository.copy(target, { signal: controller.signal });
      const outcome = await copying.catch((error: unknown) => error);
      if (!isReport(outcome)) expect(outcome).toBe(reason);
    }
    expect((await target.verify()).filter(({ ok }) => !ok)).toEqual([]);
    const report = await away.repository.copy(target);
    expect(report.failed).toEqual([]);
    await assertWhole(target, source, ["third"]);
  }
});

const isReport = (outcome: unknown) => typeof outcome === "object" && outcome !== null && "copied" in outcome;

async function goesOn(source: Source, location: string, isRemote: boolean): Promise<void> {
  const local = new LocalStorage(location);
  const target = await Repository.open(isRemote ? remote(local) : local, { logger: silent });
  expect((await target.verify()).filter(({ ok }) => !ok)).toEqual([]);
  const { copied, present, failed } = await source.repository.copy(target);
  expect(failed).toEqual([]);
  expect(copied.length + present.length).toBe(3);
  expect((await target.verify()).filter(({ ok }) => !ok)).toEqual([]);
  expect((await target.list()).map(({ name }) => name)).toEqual(["third", "second", "first"]);
}
