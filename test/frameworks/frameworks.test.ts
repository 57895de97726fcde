import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { run } from "../runtimes/application.ts";
import { exampleProject, lancedbIn } from "./example-project.ts";

// The examples, each a project of its own with the LanceDB that its framework asks for.

const EXAMPLES: readonly (readonly [name: string, lancedb: Readonly<Record<string, string>>])[] = [
  ["langchain", { "": "0.19.1" }],
  ["mastra", { "": "0.39.0", "@mastra/lance": "0.21.3" }],
];

// At the same time, since most of it is waiting for packages.
test.concurrent.for(EXAMPLES)(
  "%s: guarded ingest, failure, death, recovery, snapshot, restore",
  async ([name, lancedb], context) => {
    const project = await exampleProject(name);
    if (project === undefined) return context.skip();
    expect(lancedbIn(project)).toEqual(lancedb);
    const directory = await mkdtemp(join(tmpdir(), "lancedb-backup-test-"));
    context.onTestFinished(() => rm(directory, { recursive: true, force: true }));
    const database = join(directory, "db");
    const { status, stdout, stderr } = run(process.execPath, ["main.mjs", database], { cwd: project });
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(stdout).toBe("Guarded, rolled back, recovered, backed up and restored.\n");
  },
);
