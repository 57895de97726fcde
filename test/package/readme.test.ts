import { execFile } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { newDirectory } from "../support/database.ts";
import { examples, withoutExample } from "./examples.ts";
import { makeProject, snippetsOf } from "./readme.ts";

// What the README shows is what a reader copies: every program in it is whole, of the right types, and runs.

const run = promisify(execFile);
const TSC = join(import.meta.dirname, "../../node_modules/.bin/tsc");
const snippets = snippetsOf();
const events = snippetsOf("docs/events.md", "events");

/** What the snippets of docs/electron.md call of Electron, which is not installed here: 300 MB. */
const ELECTRON = `
declare module "electron" {
  export const app: {
    getPath(name: "userData"): string;
    on(event: "before-quit", listener: (event: { preventDefault(): void }) => void): void;
    quit(): void;
  };
  export const ipcMain: {
    handle(channel: string, listener: (event: object, ...args: any[]) => unknown): void;
  };
}`;

test("there are snippets, and each imports what it uses from the package", () => {
  expect(snippets.length).toBeGreaterThanOrEqual(4);
  for (const { title, text } of snippets) expect(text, title).toContain('from "lancedb-backup"');
});

test("every function and every method that users call has an example in its comment", async () => {
  const { all, bare } = await withoutExample();
  expect(bare).toEqual([]);
  expect(all).toBeGreaterThan(80);
});

test("every snippet, and every example in a comment, is of the right types", async () => {
  const directory = await newDirectory();
  const metrics = snippetsOf("docs/metrics.md", "metrics");
  const electron = snippetsOf("docs/electron.md", "electron");
  makeProject(directory, [...snippets, ...events, ...metrics, ...electron, ...(await examples())]);
  writeFileSync(join(directory, "electron.d.ts"), ELECTRON);
  const { stdout } = await run(TSC, ["--noEmit", "-p", directory]).catch((error: unknown) => {
    return error as { stdout: string };
  });
  expect(stdout).toBe("");
});

test("the snippets run, one after the other and twice, in an empty directory", async () => {
  const directory = await newDirectory();
  makeProject(directory, snippets);
  const env = { ...process.env, LANCEDB_LOG: "off" };
  for (const { title, file } of [...snippets, ...snippets]) {
    const options = { cwd: directory, env };
    const { stdout, stderr } = await run(process.execPath, [join("run", file)], options).catch(
      (error: unknown) => ({ stdout: "", stderr: String(error) }),
    );
    expect(stderr, title).toBe("");
    if (file === "snippet-1.ts") {
      expect(stdout).toBe("Error: the embedding service is down\n[ 'Welcome to the team' ]\n");
    }
  }
  expect(readdirSync(join(directory, "data/restored")).length).toBe(2);
});

test("the snippets of docs/events.md run, and hear what the page says", async () => {
  const directory = await newDirectory();
  makeProject(directory, events);
  const env = { ...process.env, LANCEDB_LOG: "off" };
  const outputs: string[] = [];
  for (const { file } of events) {
    const { stdout, stderr } = await run(process.execPath, [join("run", file)], { cwd: directory, env });
    expect(stderr).toBe("");
    outputs.push(stdout);
  }
  expect(outputs).toEqual([
    "words: version none to 1, 2 rows true\nwords is as before: the job was wrong\n",
    "took 5 bytes, 5 of them new\nnothing is damaged\n",
    "notes: full success with 1 attempt, 1 file\nnotes: backup\n",
  ]);
});
