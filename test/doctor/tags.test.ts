import { join } from "node:path";
import { expect, test } from "vitest";
import { diagnoseTags } from "../../src/doctor/tags.ts";
import { listManifests } from "../../src/lance/manifest.ts";
import { newDatabase } from "../support/database.ts";
import { makeSampleTable } from "../support/sample.ts";

const DAY_MS = 86_400_000;

test("a tag is a note until its version is seven days old, and then what makes optimize throw", async () => {
  const { db, uri } = await newDatabase();
  const table = await makeSampleTable(db, "words");
  await (await table.tags()).create("release", 2);
  const dataset = join(uri, "words.lance");
  const manifests = await listManifests(dataset);
  const at = (days: number) => diagnoseTags("words", dataset, manifests, Date.now() + days * DAY_MS);
  expect(await at(6)).toEqual([expect.objectContaining({ level: "note", about: "words" })]);
  expect(await at(8)).toEqual([
    expect.objectContaining({
      level: "warning",
      details: 'Tag "release" is on version 2, 8 days old: optimize() throws, and removes no old versions.',
      advice: expect.stringContaining('tags.delete("release")'),
    }),
  ]);
  // What is said is so: with a cutoff after the version, LanceDB throws and names the tag.
  const cleanup = table.optimize({ cleanupOlderThan: new Date(Date.now() + DAY_MS) });
  await expect(cleanup).rejects.toThrow(/tagged version.*release/s);
});

test("a tag whose version is gone", async () => {
  const { db, uri } = await newDatabase();
  const table = await makeSampleTable(db, "words");
  await (await table.tags()).create("release", 2);
  const dataset = join(uri, "words.lance");
  const newest = (await listManifests(dataset)).filter(({ version }) => version === 4);
  expect(await diagnoseTags("words", dataset, newest)).toEqual([
    expect.objectContaining({
      level: "warning",
      details: 'Tag "release" names version 2, which is not there.',
    }),
  ]);
});
