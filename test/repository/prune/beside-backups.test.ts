import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { Repository } from "../../../src/repository/repository.ts";
import { Random } from "../../concurrency/random.ts";
import { rows } from "../../crash/fixture.ts";
import { silent } from "../../crash/silent.ts";
import { nightly } from "../../crash/workshop.ts";
import { newDirectory } from "../../support/database.ts";
import { Place } from "./place.ts";

test("backups of a database whose files come and go, beside prunes without a grace period", async () => {
  const directory = await newDirectory();
  const [uri, location] = [join(directory, "db"), join(directory, "repository")];
  const random = new Random(20_261_121);
  const db = await connect(uri);
  const repository = await Repository.init(location, { logger: silent });
  const until = Date.now() + (nightly ? 60_000 : 6_000);
  let [made, freed] = [0, 0];

  const write = async () => {
    // Overwriting a table takes its files away, and the same rows bring back the same contents.
    for (let turn = 0; Date.now() < until; turn++) {
      const table = await db.createTable("t", rows(0, 5 + (turn % 3)), { mode: "overwrite" });
      await table.add(rows(100, 2));
      if (random.chance(0.3)) await table.optimize({ cleanupOlderThan: new Date() });
    }
  };
  const back = async () => {
    while (Date.now() < until) {
      await repository.backup({
        source: uri,
        history: random.pick(["all", "latest"]),
        lockTimeoutMs: 60_000,
      });
      made++;
    }
  };
  const prune = async () => {
    while (Date.now() < until) {
      const keepLast = random.pick([1, 2, 5]);
      freed += (await repository.prune({ keepLast, graceHours: 0, lockTimeoutMs: 60_000 })).freed.blobs;
    }
  };
  await db.createTable("t", rows(0, 5));
  await Promise.all([write(), back(), prune(), prune()]);
  db.close();

  const results = await repository.verify();
  expect(results.filter(({ ok }) => !ok)).toEqual([]);
  expect(made).toBeGreaterThan(0);
  expect(freed).toBeGreaterThan(0);
  await repository.prune({ graceHours: 0 });
  const place = new Place(location);
  expect(await place.blobs()).toEqual(await place.assertWhole());
});
