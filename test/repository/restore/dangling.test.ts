import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { openSnapshot } from "../../../src/sources/lancedb/open-snapshot.ts";
import { lancedb } from "../../support/database.ts";
import { sampleRows } from "../../support/sample.ts";
import { blobsOf } from "../lance-parts.ts";
import { takeSnapshot } from "../sound.ts";
import { newRestorePlace, restoreTo } from "./kinds.ts";

test("a table of a namespace that was dropped while the snapshot was taken is not listed where it is restored", async () => {
  const { db, uri, storage, directory } = await newRestorePlace();
  await db.createNamespace(["ns"]);
  await db.createTable("stays", sampleRows(0, 3), ["ns"]);
  await db.createTable("goes", sampleRows(0, 3), ["ns"]);
  // As a drop leaves it that came between the list of namespaces and the table.
  const goes = readdirSync(uri).find((name) => name.endsWith("_ns$goes")) as string;
  rmSync(join(uri, goes), { recursive: true });
  const content = await takeSnapshot(storage, uri);
  const target = join(directory, "restored");
  const report = await restoreTo(storage, content, { target });
  const restored = await connect(target);
  expect(await restored.tableNames(["ns"])).toEqual(["stays"]);
  expect(report.leftOut).toEqual([{ table: "ns$goes", what: expect.stringContaining("not restored") }]);
  await using opened = await openSnapshot({ blobs: blobsOf(storage), lancedb }, content);
  expect(await opened.tableNames(["ns"])).toEqual(["stays"]);
});
