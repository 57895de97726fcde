import { expect, test } from "vitest";
import { run, runJson } from "./cli.ts";
import { addRow, newPlace, snapshotOf } from "./fixture.ts";

test("diff shows tables, versions, files and rows that differ", async () => {
  const place = await newPlace();
  const from = await snapshotOf(place, "--name", "before");
  await addRow(place, 1234);
  const to = await snapshotOf(place);
  const { code, stdout } = await run(["diff", "before", to], { env: place.env });
  expect(code).toBe(0);
  expect(stdout).toContain(`From ${from} to ${to}:`);
  expect(stdout).toMatch(/^docs +unchanged +4 +39 /m);
  expect(stdout).toMatch(/^words +changed +4 -> 5 +39 -> 40 +\d+ files?, /m);
  const rows = await run(["diff", "before", to, "--rows", "id"], { env: place.env });
  expect(rows.stdout).toContain('Rows of words: 1 added, 0 removed, 0 changed.\n  added {"id":1234}\n');
  const json = await runJson<{ tables: unknown[] }>(["diff", from, to, "--key", "words=id"], {
    env: place.env,
  });
  expect(json).toMatchObject({ from, to });
  expect(json.tables).toContainEqual(
    expect.objectContaining({ id: "words", change: "changed", rows: expect.objectContaining({ added: 1 }) }),
  );
});

test.each([
  ["an unknown snapshot", ["diff", "latest", "nope"], 2, "nope"],
  ["a bad key", ["diff", "latest", "latest", "--key", "words"], 2, "It must be a table and its key columns"],
  ["both", ["diff", "a", "b", "--rows", "id", "--key", "words=id"], 2, "cannot be used together"],
  ["one snapshot alone", ["diff", "latest"], 2, "missing required argument 'b'"],
])("diff of %s is refused", async (_what, args, code, message) => {
  const place = await newPlace();
  await snapshotOf(place);
  const ran = await run(args, { env: place.env });
  expect(ran.code).toBe(code);
  expect(ran.stderr).toContain(message);
});
