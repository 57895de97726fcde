import { connect } from "@lancedb/lancedb";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BackupManager } from "../../src/guard/backup-manager.ts";
import { rows } from "./fixture.ts";
import { observe } from "./observe.ts";
import type { ScenarioName } from "./scenarios.ts";
import { silent } from "./silent.ts";
import { STRATEGIES, Workshop } from "./workshop.ts";

const workshop = new Workshop();
beforeAll(() => workshop.prepare());
afterAll(() => workshop[Symbol.dispose]());

/** What the work has written to before it dies, and how many versions of theirs follow under the same name. */
const CASES: readonly { scenario: ScenarioName; table: string; versions: readonly number[] }[] = [
  { scenario: "create", table: "new", versions: [1, 2, 3] },
  { scenario: "drop and create", table: "c", versions: [1, 2] },
  { scenario: "several tables, named", table: "a", versions: [1, 4, 5, 6, 7] },
];

describe.for(STRATEGIES)("killed, then the table is dropped and made anew by others, %s", (strategy) => {
  test.for(CASES)("$scenario", async ({ scenario, table, versions }) => {
    for (const count of versions) {
      const place = workshop.place();
      await workshop.die(place, scenario, strategy);
      const db = await connect(place.uri);
      await db.dropTable(table);
      const theirs = await db.createTable(table, rows(700, 2, "theirs"));
      for (let n = 1; n < count; n++) await theirs.add(rows(700 + 2 * n, 2, "theirs"));
      db.close();
      const before = await observe(place.uri);
      const numbers = Array.from({ length: count }, (_, index) => index + 1);

      const manager = new BackupManager({ uri: place.uri, backupDir: place.backupDir, logger: silent });
      const { entries } = await manager.recover();
      expect(entries).toMatchObject([{ action: "conflict", conflicts: [{ table, versions: numbers }] }]);
      expect(await observe(place.uri)).toEqual(before);
      expect(await manager.recover({ onConflict: "keep" })).toMatchObject({ entries: [{ action: "kept" }] });
      expect(await observe(place.uri)).toEqual(before);
      workshop.remove(place);
    }
  });
});
