import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { run } from "./cli.ts";
import { newPlace, snapshotOf } from "./fixture.ts";

// What is not as a command needs it: one line that says so, and nothing done.

describe("a damaged repository.json fails every command that needs the repository", () => {
  test.each([
    ["backup DB"],
    ["list"],
    ["info latest"],
    ["verify"],
    ["restore latest DIR/out"],
    ["diff latest latest"],
    ["delete latest --yes"],
    ["prune --yes"],
    ["scrub DB"],
    ["report --html DIR/out.html"],
  ])("%s", async (line) => {
    const place = await newPlace();
    writeFileSync(join(place.repo, "repository.json"), "{}");
    const words = line
      .split(" ")
      .map((word) => word.replace("DB", place.database).replace("DIR", place.directory));
    const { code, stdout, stderr } = await run(words, { env: place.env });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^error: .*repository\.json.*\n$/);
  });
});

test.each([
  ["verify nope", 2, '"nope"'],
  ["delete nope --yes", 2, '"nope"'],
  ["restore nope DIR/out", 2, '"nope"'],
  ["scrub DB --snapshot nope", 2, '"nope"'],
  ["restore latest DIR/out --table nope", 2, 'has no table "nope"'],
  ["restore latest DIR/out --table-version words", 2, "It must be a table and a version"],
  ["restore latest DIR/out --table-version words=99", 2, "has no version 99"],
  ["restore latest DIR/out --in-place --yes", 2, "There is no database at"],
  ["restore latest DIR/vault/inside", 2, "lies in the repository"],
  ["restore latest DIR/out --parallel 0", 2, "It must be a whole number from 1."],
  ["prune --keep-daily 0", 2, "It must be a whole number from 1."],
  ["prune --time-zone Nowhere", 2, "is not a time zone"],
  ["prune --keep-dayly 7", 2, "Did you mean --keep-daily?"],
  ["verify --read 10% --sizes-only", 2, "cannot be used together"],
  ["backup DB --repo gs://bucket/x", 1, "No storage is registered for"],
  ["backup DB --lock-timeout soon", 2, "It must be a number, 0 or more."],
  ["undo", 2, ""],
  ["undo clean DB backup_1 --yes", 2, 'There is no backup "backup_1"'],
])("%s: exit code %d, %s", async (line, expected, message) => {
  const place = await newPlace();
  await snapshotOf(place);
  const words = line
    .split(" ")
    .map((word) => word.replace("DB", place.database).replace("DIR", place.directory));
  const { code, stderr } = await run([...words, "--quiet"], { env: place.env });
  expect(code).toBe(expected);
  expect(stderr).toContain(message);
  if (message !== "") expect(stderr.trimEnd().split("\n")).toHaveLength(1);
});
