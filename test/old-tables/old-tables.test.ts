import { describe, test } from "vitest";
import { CHECKS } from "./checks.ts";
import { namesOf, oldDatabase, VERSIONS } from "./fixture.ts";

// Tables that older versions of LanceDB wrote, used with the LanceDB that is installed. At night each table by itself,
// and everything; otherwise all tables at once, and of each version a part, such that every check is made of some.

const nightly = process.env["NIGHTLY"] === "1";
const PARTS = 7;

describe.each(VERSIONS.map((version, at) => ({ version, at })))("tables of $version", ({ version, at }) => {
  for (const [index, { name, run }] of CHECKS.entries()) {
    if (nightly)
      test.each(namesOf(version))(`${name}: %s`, async (table) => run(await oldDatabase(version, [table])));
    else if (index === 0 || (index + at) % PARTS === 0)
      test(name, async () => run(await oldDatabase(version)));
  }
});
