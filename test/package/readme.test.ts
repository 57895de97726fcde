import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { connect } from "@lancedb/lancedb";
import { expect, test } from "vitest";
import { newDirectory } from "../support/database.ts";
import { makeProject, readmeSnippets } from "./readme.ts";

// What the README shows is what a reader copies: every program in it is whole, of the right types, and runs.

const run = promisify(execFile);
const TSC = join(import.meta.dirname, "../../node_modules/.bin/tsc");
const snippets = readmeSnippets();

test("there are snippets, and each imports what it uses from the package", () => {
  expect(snippets.length).toBeGreaterThanOrEqual(4);
  for (const { title, text } of snippets) expect(text, title).toContain('from "lancedb-backup"');
});

test("every snippet is of the right types", async () => {
  const directory = await newDirectory();
  makeProject(directory, snippets);
  const { stdout } = await run(TSC, ["--noEmit", "-p", directory]).catch((error: unknown) => {
    return error as { stdout: string };
  });
  expect(stdout).toBe("");
});

test("the snippets run, one after the other, on a database that has the table", async () => {
  const directory = await newDirectory();
  makeProject(directory, snippets);
  const database = await connect(join(directory, "data/lancedb-table"));
  const old = { chunk_id: "a0", doc_id: "handbook", text: "Old", vector: [0.5, 0.5] };
  await database.createTable("documents", [old, { ...old, chunk_id: "b0", doc_id: "other" }]);
  for (const { title, file } of snippets) {
    const env = { ...process.env, LANCEDB_LOG: "off" };
    const options = { cwd: directory, env, timeout: 60_000 };
    const failed = await run(process.execPath, [join("run", file)], options).then(
      ({ stderr }) => stderr,
      (error: unknown) => String(error),
    );
    expect(failed, title).toBe("");
    if (file === "snippet-1.ts") {
      const rows = await (await database.openTable("documents")).query().select(["chunk_id"]).toArray();
      expect(rows.map((row: { chunk_id: string }) => row.chunk_id).sort()).toEqual(["a1", "b0"]);
    }
  }
  expect(existsSync(join(directory, "data/restored/documents.lance"))).toBe(true);
  database.close();
});
