import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { applyDelta, loadBackup } from "../../src/periodic/replay/replay-file.ts";
import { restoreLatest } from "../../src/periodic/replay/restore-latest.ts";
import { contentOf, Place, rowsOf } from "./harness.ts";

for (const fileFormat of ["json", "arrow"] as const) {
  test(`a full loads into a new database (${fileFormat})`, async () => {
    await using place = new Place();
    const db = await place.db();
    await db.createTable("a", rowsOf([1, 2, 3]));
    const file = await place.manager({ fileFormat }).backupFull();
    const target = place.fresh();
    (await loadBackup(file, target)).close();
    expect(await contentOf(target)).toEqual(await contentOf(place.uri));
  });

  test(`deltas of inserts, updates, deletes and compaction lead to the newest state (${fileFormat})`, async () => {
    await using place = new Place();
    const db = await place.db();
    const table = await db.createTable("a", rowsOf([1, 2, 3, 4, 5]));
    const manager = place.manager({ fileFormat, incremental: true });
    expect(await manager.backupDelta()).toMatch(/lancedb_backup_/);
    await table.add(rowsOf([6, 7]));
    await table.delete("id = 2");
    await table.update({ where: "id = 3", values: { name: "changed" } });
    const first = (await manager.backupDelta()) as string;
    expect(first).toMatch(/lancedb_delta_\d+_\d{6}\./);
    const between = await contentOf(place.uri);
    await table.optimize();
    const second = (await manager.backupDelta()) as string;
    await db.createTable("b", rowsOf([1]));
    await table.delete("id > 5");
    await manager.backupDelta();
    expect(await manager.backupDelta()).toBeNull();
    expect(manager.deltasSinceFull).toBe(3);
    const target = place.fresh();
    const summary = await restoreLatest(place.backupDir, target);
    expect(summary.deltas).toHaveLength(3);
    expect(await contentOf(target)).toEqual(await contentOf(place.uri));

    const step = place.fresh();
    (await loadBackup(join(place.backupDir, summary.full), step)).close();
    const versionOf = async () => {
      const stepDb = await connect(step);
      const version = await (await stepDb.openTable("a")).version();
      stepDb.close();
      return version;
    };
    const loaded = await versionOf();
    expect(await applyDelta(step, first)).toBe(4);
    expect(await versionOf()).toBe(loaded + 1); // two rows inserted, one updated and one deleted, in one commit
    expect(await contentOf(step)).toEqual(between);
    await applyDelta(step, first);
    expect(await contentOf(step)).toEqual(between);
    expect(await applyDelta(step, second)).toBe(0);
    expect(place.warnings).toEqual([]);
  });
}
