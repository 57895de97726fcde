import { join } from "node:path";
import { expect, test } from "vitest";
import { LocalStorage } from "../../src/storage/local-storage.ts";
import { leave } from "../repository/lease/leases.ts";
import { newDirectory } from "../support/database.ts";
import { namesBelow } from "../support/pieces.ts";
import { run } from "./cli.ts";

test("unlock lists leases, removes the dead, and a live one only by force", async () => {
  const location = join(await newDirectory(), "vault");
  await run(["init", location]);
  const storage = new LocalStorage(location);
  const dead = await leave(storage, "shared", "dead");
  const live = await leave(storage, "exclusive", "alive");
  const unlock = (...words: string[]) => run(["unlock", ...words, "--repo", location]);
  expect((await unlock()).stdout).toMatch(/exclusive, alive: process \d+ on/);
  expect(await unlock("--dead")).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(`Removed ${dead}`),
  });
  expect(await namesBelow(storage, "leases/")).toEqual([live]);
  expect((await unlock(live)).code).toBe(1);
  expect(await namesBelow(storage, "leases/")).toEqual([live]);
  expect((await unlock(live, "--force")).stdout).toContain(`Removed ${live}`);
  expect((await unlock(live)).code).toBe(2);
  expect(await namesBelow(storage, "leases/")).toEqual([]);
});
