import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readAll } from "./files.ts";

// What was written with format number 2 before apache-arrow wrote the streams: 40 columns of all types in eight tables, in
// two batches each, with the rows that they hold.
const fixtures = join(import.meta.dirname, "fixtures");

test.each(["json", "arrow"] as const)("a %s file of before is read, row by row", async (format) => {
  const { tables } = await readAll(join(fixtures, `2-${format}.backup`));
  const rows = tables.map(({ head, upserts, deletes }) => ({ table: head.table, upserts, deletes }));
  const text = JSON.stringify(rows, (_key, value) => (typeof value === "bigint" ? `${value}n` : value), 1);
  expect(`${text}\n`).toBe(await readFile(join(fixtures, "rows.txt"), "utf8"));
});
